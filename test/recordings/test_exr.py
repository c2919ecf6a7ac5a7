"""EXR files: what OpenEXR's own reader finds in them."""

import numpy as np
import pytest

pytest.importorskip("OpenEXR", reason="OpenEXR is not installed: pip install 'metric3d_ros[exr]'")

import OpenEXR

from metric3d_ros.errors import DataError
from metric3d_ros.recordings.exr import write_exr


def test_depth_reads_back_bit_for_bit_invalid_pixels_included(tmp_path):
    depth_m = np.arange(1, 29, dtype=np.float32).reshape(4, 7) / 3
    depth_m[0, 0], depth_m[3, 6] = np.nan, np.inf
    write_exr(tmp_path / "new/a.exr", depth_m)
    with OpenEXR.File(str(tmp_path / "new/a.exr")) as file:
        assert list(file.channels()) == ["Z"]
        pixels = file.channels()["Z"].pixels
        assert file.header()["compression"] == OpenEXR.ZIP_COMPRESSION
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, depth_m)


def test_a_slice_of_an_array_is_written_as_it_reads(tmp_path):
    depth_m = np.arange(48, dtype=np.float32).reshape(6, 8)[::2, ::-1]
    write_exr(tmp_path / "a.exr", depth_m)
    with OpenEXR.File(str(tmp_path / "a.exr")) as file:
        np.testing.assert_array_equal(file.channels()["Z"].pixels, depth_m)


def test_what_is_no_depth_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"depth has shape \(4, 7, 3\), expected \(H, W\)"):
        write_exr(tmp_path / "a.exr", np.zeros((4, 7, 3), np.float32))


def test_a_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    (tmp_path / "a.exr").mkdir()
    with pytest.raises(OSError, match=r"a\.exr"):
        write_exr(tmp_path / "a.exr", np.zeros((4, 7), np.float32))
