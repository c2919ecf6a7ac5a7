"""Folders of images: order, channels, and what is refused."""

import cv2
import numpy as np
import pytest

from metric3d_ros.codecs.sixteen_bits import fit_sample_range, to_8_bit
from metric3d_ros.errors import DataError, ImageError
from metric3d_ros.recordings.images import list_images, read_rgb, write_rgb


@pytest.fixture
def rgb():
    """A non-square image whose channels differ: red grows to the right, green downwards, blue is 7."""
    image = np.full((5, 9, 3), 7, np.uint8)
    image[..., 0] = np.arange(9) * 20
    image[..., 1] = (np.arange(5) * 40)[:, None]
    return image


def test_a_written_png_reads_back_byte_for_byte(tmp_path, rgb):
    write_rgb(tmp_path / "deep" / "a.png", rgb)
    assert np.array_equal(read_rgb(tmp_path / "deep" / "a.png"), rgb)


def test_channels_are_rgb_in_the_file(tmp_path):
    write_rgb(tmp_path / "red.png", np.full((2, 3, 3), (255, 0, 0), np.uint8))
    assert cv2.imread(str(tmp_path / "red.png"))[0, 0].tolist() == [0, 0, 255]  # OpenCV reads BGR


def test_numbers_in_names_order_as_numbers(tmp_path, rgb):
    for name in ("frame_10.png", "frame_9.png", "frame_1.png", "Frame_2.png"):
        write_rgb(tmp_path / name, rgb)
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["frame_1.png", "Frame_2.png", "frame_9.png", "frame_10.png"]


def test_depth_hidden_and_other_files_of_a_folder_are_left_out(tmp_path, rgb):
    for name in ("a_rgb.PNG", "a_depth.png", ".b.png"):
        write_rgb(tmp_path / name, rgb)
    (tmp_path / "notes.txt").write_text("no image")
    assert [path.name for path in list_images(tmp_path)] == ["a_rgb.PNG"]


def test_a_pattern_and_a_single_file_choose_images(tmp_path, rgb):
    for name in ("nyu_1.png", "nyu_2.png", "kitti_1.png"):
        write_rgb(tmp_path / name, rgb)
    assert [path.name for path in list_images(f"{tmp_path}/nyu_*.png")] == ["nyu_1.png", "nyu_2.png"]
    assert list_images(tmp_path / "kitti_1.png") == [tmp_path / "kitti_1.png"]


def test_a_path_that_names_no_image_is_an_error_that_names_it(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"there is no file or folder .*missing"):
        list_images(tmp_path / "missing")
    with pytest.raises(DataError, match="holds no image"):
        list_images(tmp_path)
    with pytest.raises(DataError, match=r"holds no image"):
        list_images(f"{tmp_path}/*.jpg")
    with pytest.raises(DataError, match=r"notes\.txt is no image by its suffix"):
        list_images(tmp_path / "notes.txt")


def test_grey_and_transparent_images_become_three_8_bit_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.array([[10, 200]], np.uint8))
    cv2.imwrite(str(tmp_path / "alpha.png"), np.array([[[1, 2, 3, 0]]], np.uint8))
    assert read_rgb(tmp_path / "grey.png").tolist() == [[[10] * 3, [200] * 3]]
    assert read_rgb(tmp_path / "alpha.png").tolist() == [[[3, 2, 1]]]


def test_a_16_bit_file_is_shown_over_the_range_that_it_uses_as_the_node_shows_its_images(tmp_path):
    thermal = np.linspace(7500, 7900, 60 * 80).astype(np.uint16).reshape(60, 80)
    cv2.imwrite(str(tmp_path / "thermal.png"), thermal)
    expected = to_8_bit(thermal, fit_sample_range(thermal))
    assert len(np.unique(expected)) > 240
    assert np.array_equal(read_rgb(tmp_path / "thermal.png"), np.repeat(expected[..., None], 3, axis=2))


def test_a_16_bit_file_that_uses_its_full_range_is_divided_by_257(tmp_path):
    full = np.zeros((16, 16, 3), np.uint16)
    full[..., 0], full[..., 2] = 65535, np.arange(256).reshape(16, 16) * 257  # BGR
    cv2.imwrite(str(tmp_path / "full.tiff"), full)
    rgb = read_rgb(tmp_path / "full.tiff")
    assert np.array_equal(rgb[..., 0], np.arange(256).reshape(16, 16))
    assert (rgb[..., 2] == 255).all()


def test_exif_orientation_is_not_applied(tmp_path):
    wide = cv2.imencode(".jpg", np.zeros((16, 32, 3), np.uint8))[1].tobytes()
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(wide[:2] + segment + wide[2:])
    assert cv2.imread(str(tmp_path / "turned.jpg")).shape == (32, 16, 3)  # the tag itself is understood
    assert read_rgb(tmp_path / "turned.jpg").shape == (16, 32, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_image_is_refused_and_not_half_grey(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    write_rgb(whole, noise)
    assert read_rgb(whole).shape == (60, 80, 3)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(
        ImageError, match=rf"cut{suffix} is truncated: \d\d of its 60 rows are missing; copy or record it"
    ):
        read_rgb(cut)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_a_picture_with_something_behind_it_is_whole(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    write_rgb(tmp_path / f"whole{suffix}", noise)
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"phone{suffix}").write_bytes(data + b"\0\0\0\x18ftypmp42" + noise.tobytes()[:5000])
    assert np.array_equal(read_rgb(tmp_path / f"phone{suffix}"), read_rgb(tmp_path / f"whole{suffix}"))


@pytest.mark.parametrize(("suffix", "end"), [(".png", 12), (".jpg", 2)])
def test_a_picture_without_an_end_mark_is_whole(tmp_path, suffix, end):
    write_rgb(tmp_path / f"whole{suffix}", np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    (tmp_path / f"cut{suffix}").write_bytes((tmp_path / f"whole{suffix}").read_bytes()[:-end])
    assert np.array_equal(read_rgb(tmp_path / f"cut{suffix}"), read_rgb(tmp_path / f"whole{suffix}"))


def test_missing_empty_and_foreign_files_are_errors_that_name_the_file(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture at all")
    with pytest.raises(ImageError, match=r"cannot read .*gone\.png"):
        read_rgb(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=r"empty\.png is empty"):
        read_rgb(tmp_path / "empty.png")
    with pytest.raises(ImageError, match=r"text\.png is no image"):
        read_rgb(tmp_path / "text.png")


def test_writing_refuses_other_arrays_and_suffixes(tmp_path, rgb):
    with pytest.raises(ImageError, match="float64"):
        write_rgb(tmp_path / "a.png", rgb / 255)
    with pytest.raises(ImageError, match="cannot write this kind of file"):
        write_rgb(tmp_path / "a.docx", rgb)
