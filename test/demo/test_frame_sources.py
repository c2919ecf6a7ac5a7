"""The frames of a demo: the user's own images, which are played and with which focal length, and a rendered flight."""

import numpy as np
import pytest
from exif_files import with_exif

from metric3d_ros.demo import frame_sources
from metric3d_ros.demo.frame_sources import FrameSource, choose_images, open_images, render_flight
from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.evaluation.labelled_folder import open_folder
from metric3d_ros.recordings.images import read_rgb, write_rgb


def write_picture(path, *, shade=100, size_hw=(48, 64)):
    write_rgb(path, np.full((*size_hw, 3), shade, np.uint8))
    return path


def choose(folder, *, limit=10, **given):
    options = {"focal_px": None, "hfov_deg": None, "calibration": None, **given}
    return choose_images(str(folder), limit=limit, **options)


def test_images_that_the_node_would_drop_are_left_out_with_a_reason_and_the_others_linked(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    good = [write_picture(folder / name, shade=shade) for name, shade in (("a.png", 10), ("e.png", 50))]
    write_picture(folder / "b.png", size_hw=(5, 64))
    (folder / "c.png").write_bytes(b"no picture")
    write_picture(folder / "d.png", size_hw=(100, 120))
    monkeypatch.setattr(frame_sources, "DepthParameters", lambda: type("Limits", (), {"max_pixels": 64 * 48}))
    chosen = choose(folder, focal_px=70.0)
    assert chosen.paths == good
    assert chosen.player_options == ["--focal", "70.0"]
    small, broken, large = chosen.left_out
    assert "b.png is 64x5 pixels, expected at least" in small
    assert "c.png" in broken
    assert large.endswith("d.png is 120x100, expected at most 3072 pixels: play a smaller copy")
    source = open_images(chosen, links=tmp_path / "links")
    assert [path.resolve() for path in sorted((tmp_path / "links").iterdir())] == good
    assert source.images == f"{tmp_path}/links/*"
    assert source.index_of(read_rgb(good[1])) == 1
    assert source.index_of(read_rgb(good[0])) is None  # it was before the one found last
    assert choose(folder, focal_px=70.0, limit=1).paths == good[:1]


def test_images_that_are_all_good_are_played_from_their_folder(tmp_path):
    write_picture(tmp_path / "pictures" / "a.png")
    source = open_images(choose(tmp_path / "pictures", hfov_deg=60.0), links=tmp_path / "links")
    assert source.images == str(tmp_path / "pictures")
    assert source.player_options == ["--hfov", "60.0"]
    assert not (tmp_path / "links").exists()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"focal_px": 70.0, "hfov_deg": 60.0}, "the images' focal length is given twice"),
        ({"calibration": ""}, "--calibration is empty, expected a calibration file: give FOCAL=PX"),
        ({}, "the images' focal length is missing, and their EXIF data do not tell one for all of them"),
    ],
)
def test_a_focal_length_that_is_missing_or_makes_no_sense_is_refused_with_the_remedy(tmp_path, given, text):
    write_picture(tmp_path / "a.png")
    with pytest.raises(ConfigurationError) as raised:
        choose(tmp_path, **given)
    assert text in str(raised.value)


def test_a_folder_without_any_usable_image_names_the_first_reason(tmp_path):
    write_picture(tmp_path / "a.png", size_hw=(5, 64))
    with pytest.raises(DataError, match=r"^no image of .* can be used: .*a\.png is 64x5 pixels"):
        choose(tmp_path, focal_px=70.0)


def test_frames_are_told_by_their_pixels_in_order(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (30, 40, 3), np.uint8) for _ in range(3)]
    for i, image in enumerate([images[0], images[1], images[1], images[2]]):
        write_rgb(tmp_path / f"{i}.png", image)
    source = open_images(choose(tmp_path, focal_px=50.0), links=tmp_path / "links")
    assert source.player_options == ["--focal", "50.0"]
    assert [source.index_of(image) for image in (images[0], images[1], images[1], images[2])] == [0, 1, 2, 3]
    assert source.index_of(images[0]) is None  # it came already


def photograph(path, *, size_hw=(300, 400), orientation=1, focal_35mm=26):
    write_rgb(path, np.zeros((*size_hw, 3), np.uint8))
    with_exif(path, orientation=orientation, focal_35mm=focal_35mm)


def test_photographs_tell_their_focal_length(tmp_path):
    photograph(tmp_path / "a.jpg")
    photograph(tmp_path / "b.jpg", orientation=6)
    chosen = choose(tmp_path)
    expected_px = 26 * 500 / np.hypot(36, 24)  # a diagonal of 500 pixels stands for that of a full frame
    assert chosen.player_options[0] == "--focal"
    assert float(chosen.player_options[1]) == pytest.approx(expected_px)
    turned, focal = chosen.remarks
    assert turned.startswith("1 of the images are stored turned")
    assert focal.startswith("focal length 300 px, from EXIF")
    assert choose(tmp_path, hfov_deg=70.0).player_options == ["--hfov", "70.0"]


@pytest.mark.parametrize("other", [{"focal_35mm": 52}, {"focal_35mm": 0}, {"size_hw": (400, 300)}])
def test_photographs_that_tell_no_common_focal_length_need_one(tmp_path, other):
    photograph(tmp_path / "a.jpg")
    photograph(tmp_path / "b.jpg", **other)
    with pytest.raises(ConfigurationError, match=r"do not tell one for all of them; depth scales.*FOCAL=PX"):
        choose(tmp_path)
    with pytest.raises(ConfigurationError, match="is given twice"):
        choose(tmp_path, focal_px=50.0, hfov_deg=70.0)


def test_a_rendered_flight_is_a_folder_that_evaluate_reads_with_its_truth(tmp_path):
    steps = []
    source = render_flight(
        tmp_path / "flight[1]", scene_seed=7, frames=2, on_progress=lambda done, total: steps.append((done, total))
    )
    assert isinstance(source, FrameSource)
    assert steps == [(1, 2), (2, 2)]
    first, truth = source.truth_of(0), source.truth_of(1)
    assert not np.array_equal(first.world_from_camera[:, 3], truth.world_from_camera[:, 3])
    assert np.nanquantile(truth.depth_m, 0.98) <= source.far_m + 1e-3
    np.testing.assert_allclose(truth.world_from_camera[:, :3] @ truth.world_from_camera[:, :3].T, np.eye(3), atol=1e-6)
    lengths = np.linalg.norm(truth.normals, axis=2)
    np.testing.assert_allclose(lengths[np.isfinite(lengths)], 1, atol=2e-3)
    samples = list(open_folder(tmp_path / "flight[1]"))
    assert np.array_equal(samples[1].rgb, read_rgb(source.paths[1]))
    assert np.array_equal(samples[1].true_depth_m, truth.depth_m)
    assert samples[1].true_normals is not None
    assert samples[1].camera.hfov_deg == pytest.approx(70)
    assert 0.8 < truth.world_from_camera[2, 3] < 1.4  # the camera's height above the floor
    # The floor in view lies at z = 0 of the world.
    height, width = truth.depth_m.shape
    ray = samples[1].camera.rays()[height - 1, width // 2]
    point = truth.world_from_camera[:, :3] @ (ray * truth.depth_m[height - 1, width // 2])
    assert truth.world_from_camera[2, 3] + point[2] < 0.8
