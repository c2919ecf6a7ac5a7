"""Depth images: metres and millimetres, written and read back."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_classes import PLAIN, bytes_of, plain_image

from metric3d_ros.errors import MessageError
from metric3d_ros.messages import (
    depth_to_image,
    image_to_array,
    image_to_depth,
)

FAR, NAN, INF = 80.0, np.nan, np.inf
DEPTHS = np.array([[1.2344, 1.2346, 0.0, -2.0], [NAN, INF, -INF, FAR]], np.float32)


def test_unusable_depth_is_nan_in_metres():
    message = depth_to_image(DEPTHS, header=None, sensor_msgs=PLAIN)
    assert message.encoding == "32FC1"
    values = image_to_array(message).array
    np.testing.assert_array_equal(values, np.array([[1.2344, 1.2346, NAN, NAN], [NAN, NAN, NAN, FAR]], np.float32))


@pytest.mark.parametrize(("far", "expected"), [("nan", NAN), ("inf", INF)])
def test_far_depth_is_nan_or_infinite_as_asked(far, expected):
    message = depth_to_image(DEPTHS, header=None, sensor_msgs=PLAIN, max_depth_m=50.0, far=far)
    values = image_to_array(message).array
    np.testing.assert_array_equal(
        values, np.array([[1.2344, 1.2346, NAN, NAN], [NAN, expected, NAN, expected]], np.float32)
    )


def test_depth_that_is_valid_everywhere_is_passed_on_unchanged():
    depth = np.array([[0.5, 2.0, 3.25]], np.float32)
    message = depth_to_image(depth, header=None, sensor_msgs=PLAIN)
    assert bytes_of(message.data) == depth.tobytes()


def test_millimetres_are_rounded_and_everything_else_is_zero():
    depth = np.array([[1.2344, 1.2346, 0.0004, 65.535, 65.5354, 65.536, 1e6, NAN, INF, -INF, -1.0, 0.0]], np.float32)
    message = depth_to_image(depth, header=None, sensor_msgs=PLAIN, encoding="16UC1")
    expected = [1234, 1235, 0, 65535, 65535, 0, 0, 0, 0, 0, 0, 0]
    assert message.step == 2 * len(expected)
    assert list(struct.unpack(f"<{len(expected)}H", bytes_of(message.data))) == expected


@given(st.floats(width=32, allow_nan=True, allow_infinity=True))
def test_no_depth_wraps_around_in_millimetres(depth_m):
    message = depth_to_image(np.full((1, 1), depth_m, np.float32), header=None, sensor_msgs=PLAIN, encoding="16UC1")
    (millimetres,) = struct.unpack("<H", bytes_of(message.data))
    assert millimetres == 0 or abs(millimetres - depth_m * 1000) <= 0.51


def test_depth_limit_holds_for_millimetres_too():
    message = depth_to_image(
        np.array([[2.0, 3.0]], np.float32), header=None, sensor_msgs=PLAIN, encoding="16UC1", max_depth_m=2.5
    )
    assert struct.unpack("<2H", bytes_of(message.data)) == (2000, 0)


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_depth_images_are_read_back_in_metres(encoding):
    depth = np.array([[0.5, NAN, 12.345]], np.float32)
    message = depth_to_image(depth, header=None, sensor_msgs=PLAIN, encoding=encoding)
    np.testing.assert_allclose(image_to_depth(message), depth, atol=1e-6)


def test_big_endian_millimetres_are_read_in_their_order():
    message = plain_image("16UC1", 1, 2, struct.pack(">2H", 1000, 0), is_bigendian=1)
    np.testing.assert_array_equal(image_to_depth(message), np.array([[1.0, NAN]], np.float32))


def test_a_colour_image_is_no_depth():
    with pytest.raises(MessageError, match=r"rgb8, expected 32FC1 .* or 16UC1"):
        image_to_depth(plain_image("rgb8", 1, 1, [0, 0, 0]))
