"""Depth and normals as files: units, what was not measured, and what is refused."""

import cv2
import numpy as np
import pytest

from metric3d_ros.errors import DataError, ImageError
from metric3d_ros.recordings.depth_files import read_depth, read_normals, write_depth


def test_16_bit_png_is_millimetres_unless_a_scale_is_given_and_zero_is_not_measured(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.array([[0, 1500, 65535]], np.uint16))
    np.testing.assert_allclose(read_depth(tmp_path / "d.png"), [[np.nan, 1.5, 65.535]], rtol=1e-6)
    kitti = read_depth(tmp_path / "d.png", units_per_metre=256)
    np.testing.assert_allclose(kitti, [[np.nan, 5.859375, 255.99609375]], rtol=1e-6)
    assert kitti.dtype == np.float32


def test_png_round_trip_is_exact_to_half_a_unit(tmp_path):
    depth_m = np.random.default_rng(2).uniform(0.2, 60, (6, 11)).astype(np.float32)
    depth_m[2, 3] = np.nan
    write_depth(tmp_path / "deep" / "d.png", depth_m, units_per_metre=1000)
    np.testing.assert_allclose(read_depth(tmp_path / "deep" / "d.png"), depth_m, atol=0.00051)


def test_depth_beyond_16_bits_is_written_as_not_measured(tmp_path):
    write_depth(tmp_path / "d.png", np.array([[70.0, 65.0, -1.0, np.inf]], np.float32))
    np.testing.assert_allclose(read_depth(tmp_path / "d.png"), [[np.nan, 65.0, np.nan, np.nan]])


def test_float_arrays_are_metres_bit_for_bit(tmp_path):
    depth_m = np.array([[0.1, 250.0], [np.nan, 3.0]], np.float32)
    write_depth(tmp_path / "d.npy", depth_m)
    np.savez(tmp_path / "d.npz", other=np.zeros(1), depth=depth_m)
    cv2.imwrite(str(tmp_path / "d.tiff"), depth_m)
    for name in ("d.npy", "d.npz", "d.tiff"):
        assert np.array_equal(read_depth(tmp_path / name), depth_m, equal_nan=True), name
    np.save(tmp_path / "bad.npy", np.array([[0.0, -2.0, np.inf]]))
    assert np.isnan(read_depth(tmp_path / "bad.npy")).all()


def test_what_is_no_depth_is_named_with_its_file(tmp_path):
    cv2.imwrite(str(tmp_path / "rgb.png"), np.zeros((2, 2, 3), np.uint16))
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((2, 2), np.uint8))
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    for name, message in (
        ("rgb.png", "expected depth with one channel"),
        ("grey.png", "8 bits per pixel"),
        ("two.npz", "holds the arrays a, b; expected one named depth"),
        ("cut.npy", "no readable NumPy file"),
        ("objects.npy", "no readable NumPy file"),
        ("d.jpg", "no depth file by its suffix"),
        ("gone.npy", "cannot read"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            read_depth(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(ImageError, match="cannot read"):
        read_depth(tmp_path / "gone.png")
    with pytest.raises(DataError, match="depth scale is 0"):
        read_depth(tmp_path / "grey.png", units_per_metre=0)
    with pytest.raises(DataError, match=r"expected \.png or \.npy"):
        write_depth(tmp_path / "d.jpg", np.ones((2, 2), np.float32))


def test_normals_are_made_unit_and_zero_vectors_invalid(tmp_path):
    stored = np.array([[[0, 0, -2.0], [3.0, 0, -4.0]], [[0, 0, 0], [np.nan, 0, 1]]])
    np.save(tmp_path / "n.npy", stored)
    normals = read_normals(tmp_path / "n.npy")
    np.testing.assert_allclose(normals[0], [[0, 0, -1], [0.6, 0, -0.8]], rtol=1e-6)
    assert np.isnan(normals[1]).all()
    assert normals.dtype == np.float32
    np.save(tmp_path / "flat.npy", np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"shape \(2, 2\); expected normals"):
        read_normals(tmp_path / "flat.npy")
    with pytest.raises(DataError, match="no file of normals"):
        read_normals(tmp_path / "n.png")
