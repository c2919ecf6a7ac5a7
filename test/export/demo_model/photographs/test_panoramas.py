"""What a pinhole camera sees of a panorama, worked out by hand."""

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'metric3d_ros[export]'")

from metric3d_export.demo_model.photographs.cut import main as cut
from metric3d_export.demo_model.photographs.panoramas import cut_view, expose, read_panorama, write_jpeg
from metric3d_ros.camera import Camera
from metric3d_ros.errors import ImageError
from metric3d_ros.recordings.images import read_rgb

CAMERA = Camera.from_hfov(61, 31, hfov_deg=90.0)


def panorama_of_directions(height=256):
    """Return a panorama with the channels 1 + longitude / pi, 1 + latitude / (pi / 2), and 1."""
    rows = 1 - (np.arange(height) + 0.5) / height * 2
    columns = (np.arange(2 * height) + 0.5) / height - 1
    longitude, latitude = np.meshgrid(columns, rows)
    return np.stack([longitude + 1, latitude + 1, np.ones_like(longitude)], axis=-1).astype(np.float32)


def degrees(view, row, column):
    longitude, latitude, _ = view[row, column]
    return (longitude - 1) * 180, (latitude - 1) * 90


def test_the_middle_of_a_view_looks_where_the_camera_points():
    view = cut_view(panorama_of_directions(), CAMERA, heading_deg=30.0, pitch_deg=-20.0)
    assert view.shape == (31, 61, 3)
    assert degrees(view, 15, 30) == pytest.approx((30, -20), abs=0.1)


def test_the_sides_of_a_view_look_half_a_field_of_view_aside():
    view = cut_view(panorama_of_directions(), CAMERA, heading_deg=0.0)
    # Pixel centres: the last one lies 30 of 30.5 half widths from the middle, and tan(45 deg) is 1.
    aside = np.degrees(np.arctan(30 / 30.5))
    assert degrees(view, 15, 60) == pytest.approx((aside, 0), abs=0.1)
    assert degrees(view, 15, 0) == pytest.approx((-aside, 0), abs=0.1)
    assert degrees(view, 0, 30) == pytest.approx((0, np.degrees(np.arctan(15 / 30.5))), abs=0.1)


def test_a_view_across_the_seam_has_no_seam():
    light = panorama_of_directions()
    light[..., 0] = np.abs(light[..., 0] - 1)  # the distance from the middle, the same on both sides of the seam
    view = cut_view(light, CAMERA, heading_deg=180.0)
    assert view[15, 30, 0] == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(view[15, :30, 0], view[15, :30:-1, 0], atol=0.01)


def test_exposure_makes_the_mean_middle_grey_at_any_brightness():
    view = np.full((4, 6, 3), 0.02, np.float32)
    # 0.18 (1 + 0.18 / 16) / 1.18 = 0.1543, and 255 (1.055 * 0.1543 ** (1 / 2.4) - 0.055) = 109.46.
    assert np.unique(expose(view)).tolist() == [109]
    assert np.unique(expose(view * 1000)).tolist() == [109]
    assert not expose(view * 0).any()


def test_lamps_and_shadows_stay_in_range():
    view = np.full((10, 10, 3), 0.2, np.float32)
    view[0, 0], view[1, 1] = 60_000, 0
    photograph = expose(view)
    assert photograph[0, 0].tolist() == [255] * 3
    assert photograph[1, 1].tolist() == [0] * 3


def test_photographs_are_cut_for_each_heading(tmp_path):
    source = tmp_path / "hall.hdr"
    light = panorama_of_directions(64)
    cv2.imwrite(str(source), light[..., ::-1])
    np.testing.assert_allclose(read_panorama(source), light, rtol=0.02)
    assert cut([str(source), "-o", str(tmp_path / "out"), "--headings", "-90", "45"]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["hall_045.jpg", "hall_270.jpg"]
    left, right = (read_rgb(tmp_path / "out" / name) for name in reversed(names))
    assert left.shape == (360, 480, 3)
    # Red is 1 + longitude / pi, blue 1.
    assert right[..., 0].mean() > right[..., 2].mean() + 10
    assert left[..., 0].mean() < left[..., 2].mean() - 10


def test_what_is_no_panorama_is_refused_in_one_line(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "square.hdr"), np.ones((8, 8, 3), np.float32))
    (tmp_path / "text.hdr").write_text("no picture")
    (tmp_path / "text.exr").write_text("no picture")
    with pytest.raises(ImageError, match="8 x 8 pixels, expected a panorama twice as wide as high"):
        read_panorama(tmp_path / "square.hdr")
    for name in ("text.hdr", "text.exr", "missing.hdr"):
        assert cut([str(tmp_path / name), "-o", str(tmp_path)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert name in error
        assert error.count("\n") == 1
    with pytest.raises(ImageError, match=r"ends in \.jpg"):
        write_jpeg(tmp_path / "picture.png", np.zeros((2, 2, 3), np.uint8), quality=80)
