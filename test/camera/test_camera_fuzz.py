"""camera_info around realistic ones, many of them: rays that are right, or one line of reason; never anything else."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from lens_oracle import check_rays

from metric3d_ros.camera import Camera, check_camera_info
from metric3d_ros.errors import CameraError

NAMES = [
    *("plumb_bob", "rational_polynomial", "equidistant") * 4,
    *("radtan", "fisheye", "kannala_brandt", "Brown-Conrady", "", "none", "thin_prism", "pinhole"),
]
POLYNOMIAL_SIZES = np.array([0.4, 0.3, 0.003, 0.003, 0.1, 0.5, 0.3, 0.1, 0.005, 0.005, 0.005, 0.005, 0.03, 0.03])
EQUIDISTANT_SIZES = np.array([0.1, 0.4, 0.6, 0.2])
EXTREMES = [0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, -1e300, np.nan, np.inf, -np.inf, 1e6, 1e-6]


def draw_camera_info(rng):
    """A realistic camera_info, and with one chance in two up to three fields of it that are not."""
    width, height = int(rng.integers(20, 73)), int(rng.integers(16, 55))
    fx = width * 10 ** rng.uniform(-0.7, 0.6)
    fy = fx * rng.normal(1, 0.02)
    cx, cy = width * rng.normal(0.5, 0.05), height * rng.normal(0.5, 0.05)
    model = NAMES[rng.integers(len(NAMES))]
    d = draw_coefficients(rng, model)
    k = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1])
    p = np.zeros(12) if rng.random() < 0.3 else np.array([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0]) * rng.normal(1, 0.05)
    fields = {
        "width": width,
        "height": height,
        "distortion_model": model,
        "d": d,
        "k": k,
        "r": np.eye(3).ravel(),
        "p": p,
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }
    if rng.random() < 0.5:
        for field in rng.permutation(["k", "d", "p", "size", "binning", "roi", "count"])[: rng.integers(1, 4)]:
            spoil(rng, fields, field)
    return SimpleNamespace(**fields)


def draw_coefficients(rng, model):
    exaggeration = 10 ** rng.choice([-1.0, -0.5, 0.0, 0.0, 0.5, 1.5])
    if model in ("equidistant", "fisheye", "kannala_brandt"):
        return rng.normal(0, 1, 4) * EQUIDISTANT_SIZES * exaggeration
    count = int(rng.choice([4, 5, 5, 5, 8, 12, 14]))
    return rng.normal(0, 1, count) * POLYNOMIAL_SIZES[:count] * exaggeration


def spoil(rng, fields, field):
    if field in "kdp" and len(fields[field]):
        at = rng.integers(len(fields[field]))
        fields[field] = fields[field].copy()
        fields[field][at] = EXTREMES[rng.integers(len(EXTREMES))] if rng.random() < 0.5 else rng.normal(0, 100)
    elif field == "count":
        fields["d"] = np.concatenate([fields["d"], np.zeros(rng.integers(0, 12))])[: rng.integers(0, 20)]
    elif field == "size":
        fields["width"], fields["height"] = (int(rng.choice([0, 1, 2, 30, 60])) for _ in range(2))
    elif field == "binning":
        fields["binning_x"], fields["binning_y"] = (int(rng.choice([0, 1, 2, 4, 2**32 - 1])) for _ in range(2))
    elif field == "roi":
        numbers = rng.choice([0, 0, 1, 5, 16, 30, 2**32 - 1], 4)
        fields["roi"] = SimpleNamespace(
            **dict(zip(["x_offset", "y_offset", "width", "height"], map(int, numbers), strict=True))
        )


def run(count, seed):
    """Check `count` messages; return how they ended."""
    ends = Counter()
    rng = np.random.default_rng(seed)
    for _ in range(count):
        info = draw_camera_info(rng)
        rectified = bool(rng.random() < 0.2)
        try:
            camera = Camera.from_camera_info(info, rectified=rectified)
            findings = check_camera_info(info, rectified=rectified)
        except CameraError as error:
            ends["refused" if "\n" not in str(error) and len(str(error)) < 500 else f"refused badly: {error}"] += 1
            continue
        share = check_rays(camera, rng=rng, most_pixels=60, steps=40)
        ends["rays" if share > 0.5 else "few rays"] += 1
        ends["doubtful"] += bool(findings)
        assert all("\n" not in str(finding) for finding in findings)
    return ends


def check(ends, count):
    assert set(ends) <= {"rays", "few rays", "refused", "doubtful"}
    assert ends["rays"] + ends["few rays"] + ends["refused"] == count
    assert ends["rays"] > 0.5 * count, "the messages are around realistic ones"
    assert ends["refused"] > 0.05 * count
    assert 0.05 * count < ends["doubtful"] < 0.5 * count


def test_five_thousand_camera_infos_give_rays_that_reproject_or_one_line():
    check(run(5_000, seed=0), 5_000)


@pytest.mark.slow
def test_a_hundred_thousand_camera_infos_give_rays_that_reproject_or_one_line():
    check(run(100_000, seed=1), 100_000)
