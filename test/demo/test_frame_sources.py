"""The user's own images for the demo: which are played, with which focal length, and what is refused."""

import numpy as np
import pytest
from exif_files import with_exif

from metric3d_ros.demo import frame_sources
from metric3d_ros.demo.frame_sources import FrameSource, choose_images, open_images, render_flight
from metric3d_ros.errors import ConfigurationError, DataError
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
        ({"focal_px": 0.0}, "--focal is 0.0, expected above 0: depth scales with the focal length"),
        ({"hfov_deg": float("inf")}, "--hfov is inf, expected above 0"),
        ({"calibration": ""}, "--calibration is , expected above 0"),
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


def test_the_focal_length_of_exif_is_taken_if_all_images_agree(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        with_exif(write_picture(tmp_path / name), orientation=6, focal_35mm=27)
    chosen = choose(tmp_path)
    # 80 pixels of diagonal are 43.27 mm.
    assert chosen.player_options[0] == "--focal"
    assert float(chosen.player_options[1]) == pytest.approx(27 * 80 / 43.2666, rel=1e-5)
    assert chosen.remarks[0].startswith("2 of the images are stored turned (EXIF orientation)")
    assert chosen.remarks[1].startswith("focal length 50 px, from EXIF")
    with_exif(write_picture(tmp_path / "c.jpg"), orientation=1, focal_35mm=50)
    with pytest.raises(ConfigurationError, match="do not tell one for all of them"):
        choose(tmp_path)


def test_a_flight_has_images_with_their_truth(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_sources, "FLIGHT_SIZE_HW", (24, 32))
    done = []
    source = render_flight(tmp_path, scene_seed=3, frames=2, on_progress=lambda *counts: done.append(counts))
    assert isinstance(source, FrameSource)
    assert done == [(1, 2), (2, 2)]
    assert [read_rgb(path).shape for path in source.paths] == [(24, 32, 3)] * 2
    truths = [source.truth_of(index) for index in range(2)]
    for truth in truths:
        assert truth.depth_m.shape == (24, 32)
        assert np.nanquantile(truth.depth_m, 0.98) <= source.far_m + 1e-3
        np.testing.assert_allclose(
            truth.world_from_camera[:, :3] @ truth.world_from_camera[:, :3].T, np.eye(3), atol=1e-6
        )
        lengths = np.linalg.norm(truth.normals, axis=2)
        np.testing.assert_allclose(lengths[np.isfinite(lengths)], 1, atol=2e-3)
    assert not np.array_equal(truths[0].world_from_camera[:, 3], truths[1].world_from_camera[:, 3])
    assert (tmp_path / "calibration.yaml").is_file()
    assert (tmp_path / "dataset.yaml").is_file()
