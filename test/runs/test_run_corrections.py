"""`metric3d run` with corrections: each camera's in the order of its frames, across chunks."""

import json

import cv2
import numpy as np
import pytest

import metric3d_ros
from metric3d_ros.cli import main
from metric3d_ros.corrections import CorrectionOptions, DepthCorrector, KnownDistance, ScaleSource
from metric3d_ros.recordings.images import write_rgb

FOCAL = 70
COUNT = 5
BOX = (20, 10, 16, 12)


@pytest.fixture
def folder(tmp_path):
    """Pictures of 64 x 48 that differ a little, as those of a camera at rest do."""
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 3)
    for number in range(COUNT):
        noise = rng.integers(-2, 3, scene.shape)
        write_rgb(tmp_path / f"pictures/view_{number}.png", np.clip(scene + noise, 0, 255).astype(np.uint8))
    return tmp_path / "pictures"


def run(model, folder, out, *words):
    words = ["run", folder, "-o", out, "--focal", FOCAL, "--write", "npz", "--model", model, *words]
    return main([*map(str, words), "--provider", "cpu", "--threads", "1"])


def depths_of(out):
    return [np.load(file)["depth"] for file in sorted((out / "pictures/npz").iterdir())]


def corrected_one_by_one(model, folder, options, *, anew=False):
    """Return each picture's depth after its corrections; `anew` forgets all after each picture."""
    estimator, corrector = metric3d_ros.load(model, provider="cpu", threads=1), DepthCorrector()
    depths = []
    for frame in metric3d_ros.frames(folder, focal_px=FOCAL):
        estimate = estimator.estimate(frame.rgb, frame.camera)
        corrector = DepthCorrector() if anew else corrector
        corrected = corrector.apply(estimate, frame.rgb, frame.stamp_ns / 1e9, options=options)
        depths.append(corrected.estimate.depth_m)
    return depths


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_depth_is_steadied_across_chunks(model, folder, tmp_path, chunk):
    words = ("--param", "stability.temporal=true", "--param", "stability.scale=true", "--chunk", chunk)
    assert run(model, folder, tmp_path / "out", *words) == 0
    options = CorrectionOptions(average=True, steady_scale=True)
    expected = corrected_one_by_one(model, folder, options)
    np.testing.assert_array_equal(depths_of(tmp_path / "out"), expected)
    assert not np.array_equal(expected, corrected_one_by_one(model, folder, options, anew=True))


def test_a_known_distance_scales_depth_and_the_manifest_has_the_factor(model, folder, tmp_path):
    words = ("--param", "scale.known_distance_m=0.25", "--param", f"scale.known_box={[float(v) for v in BOX]}")
    assert run(model, folder, tmp_path / "out", *words) == 0
    options = CorrectionOptions(scale=ScaleSource(known=KnownDistance(distance_m=0.25, box=BOX)))
    depths = depths_of(tmp_path / "out")
    np.testing.assert_array_equal(depths, corrected_one_by_one(model, folder, options))
    plain = corrected_one_by_one(model, folder, CorrectionOptions())
    lines = [json.loads(line) for line in (tmp_path / "out/manifest.jsonl").read_text().splitlines()]
    factors = [line["scale"]["factor"] for line in lines if "frame" in line]
    assert len(factors) == COUNT
    for depth_m, plain_m, factor in zip(depths, plain, factors, strict=True):
        np.testing.assert_allclose(depth_m, plain_m * factor, rtol=1e-6)
    x, y, width, height = BOX
    assert np.median(depths[-1][y : y + height, x : x + width]) == pytest.approx(0.25, rel=0.05)


def test_a_fixed_factor_holds_from_the_first_frame_on(model, folder, tmp_path):
    assert run(model, folder, tmp_path / "out", "--param", "scale.factor=3.0", "--chunk", 1) == 0
    plain = corrected_one_by_one(model, folder, CorrectionOptions())
    for depth_m, plain_m in zip(depths_of(tmp_path / "out"), plain, strict=True):
        np.testing.assert_allclose(depth_m, 3 * plain_m, rtol=1e-6)


@pytest.mark.parametrize("value", ["stability.scale=true", "stability.temporal=true", "scale.camera_height_m=1.2"])
def test_what_follows_frames_is_refused_on_ray(model, folder, tmp_path, capsys, value):
    assert run(model, folder, tmp_path / "out", "--ray", "local", "--param", value) == 1
    assert "exclude each other: leave out --ray" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["scale.topic=/scan", "scale.file=/tmp/scale.yaml"])
def test_what_only_the_node_has_is_refused(model, folder, tmp_path, capsys, value):
    assert run(model, folder, tmp_path / "out", "--param", value) == 1
    assert f"--param {value.partition('=')[0]} is" in capsys.readouterr().err
