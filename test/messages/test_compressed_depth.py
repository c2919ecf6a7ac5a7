"""Depth in compressed images: as image_transport's compressedDepth plugin writes it."""

import struct

import cv2
import numpy as np
import pytest
from encoded_pictures import encode, with_png_size
from hypothesis import given, settings
from hypothesis import strategies as st
from message_classes import BOTH, PLAIN, bytes_of, header_of, over_the_wire

from metric3d_ros.errors import MessageError
from metric3d_ros.messages import compressed_depth_to_depth, depth_to_compressed_depth

PNG = encode(np.zeros((48, 80, 3), np.uint8), ".png")
JPEG = encode(np.zeros((48, 80, 3), np.uint8), ".jpg")


NAN, INF = np.nan, np.inf


def png_values(message):
    data = bytes_of(message.data)
    return cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("messages", BOTH)
def test_millimetres_follow_the_plugins_header(messages):
    depth = np.array([[1.0, 2.5004, NAN, INF], [0.0, -1.0, 10.0, 10.5]], np.float32)
    message = over_the_wire(depth_to_compressed_depth(depth, header=header_of(messages), sensor_msgs=messages))
    assert message.format == "16UC1; compressedDepth png"
    assert struct.unpack_from("<i", bytes_of(message.data)) == (0,)
    assert bytes_of(message.data)[12:20] == b"\x89PNG\r\n\x1a\n"
    stored = png_values(message)
    assert stored.dtype == np.uint16
    assert stored.tolist() == [[1000, 2500, 0, 0], [0, 0, 10000, 0]]
    expected = np.array([[1.0, 2.5, NAN, NAN], [NAN, NAN, 10.0, NAN]], np.float32)
    np.testing.assert_allclose(compressed_depth_to_depth(message), expected, atol=1e-6)


def test_inverse_depth_is_quantised_as_the_plugin_does():
    # A = 100 * 101 = 10100, B = 1 - 10100 / 10 = -1009: 2 m is 5050 - 1009, 9.9 m is 1020.202 - 1009, cut to 11.
    depth = np.array([[2.0, 9.9, 10.0, 0.16, 0.15, 0.0, NAN, INF, -3.0]], np.float32)
    message = depth_to_compressed_depth(depth, header=None, sensor_msgs=PLAIN, encoding="32FC1")
    assert message.format == "32FC1; compressedDepth png"
    assert struct.unpack_from("<iff", bytes_of(message.data)) == (0, 10100.0, -1009.0)
    assert png_values(message).tolist() == [[4041, 11, 0, 62116, 0, 0, 0, 0, 0]]
    read = compressed_depth_to_depth(message)
    np.testing.assert_allclose(read[0, :4], [2.0, 10100 / 1020, NAN, 10100 / 63125], rtol=1e-6)
    assert np.isnan(read[0, 4:]).all()


def test_other_encodings_cannot_be_written():
    with pytest.raises(MessageError, match="'8UC1', expected 16UC1 or 32FC1"):
        depth_to_compressed_depth(np.ones((2, 2), np.float32), header=None, sensor_msgs=PLAIN, encoding="8UC1")


def test_a_farther_limit_keeps_far_depth():
    depth = np.geomspace(0.6, 79, 50).astype(np.float32)[None]
    message = depth_to_compressed_depth(
        depth, header=None, sensor_msgs=PLAIN, encoding="32FC1", max_depth_m=80.0, quantization=190.0
    )
    # One step of q is depth^2 / A metres.
    step_m = depth**2 / (190 * 191)
    assert (np.abs(compressed_depth_to_depth(message) - depth) <= step_m * 1.01).all()


@pytest.mark.parametrize(
    "form", ["16UC1; compressedDepth", "16UC1;compressedDepth png", "16UC1", "mono16; compressedDepth png"]
)
def test_older_format_strings_are_read(form):
    message = depth_to_compressed_depth(np.full((2, 3), 1.5, np.float32), header=None, sensor_msgs=PLAIN)
    message.format = form
    np.testing.assert_allclose(compressed_depth_to_depth(message), 1.5)


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (5, 1), (31, 50)])
def test_png_of_compressed_depth_is_read_by_others_bit_by_bit(size_hw, level):
    millimetres = np.random.default_rng(3).integers(1, 65536, size_hw).astype(np.uint16)
    message = depth_to_compressed_depth(
        millimetres.astype(np.float32) / 1000,
        header=None,
        sensor_msgs=PLAIN,
        max_depth_m=100.0,
        png_level=level,
    )
    np.testing.assert_array_equal(png_values(message), millimetres)


@pytest.mark.parametrize(
    ("form", "data", "says"),
    [
        ("16UC1; compressedDepth rvl", bytes(40), "set the publisher's compressedDepth format to png"),
        (
            "bgr8; jpeg compressed bgr8",
            encode(np.zeros((48, 80, 3), np.uint8), ".jpg"),
            "expected '16UC1; compressedDepth png'",
        ),
        ("16UC1; compressedDepth png", bytes(12), "12 bytes"),
        ("16UC1; compressedDepth png", b"", "no data"),
        (
            "16UC1; compressedDepth png",
            bytes(12) + encode(np.zeros((48, 80, 3), np.uint8), ".png"),
            "uint8 (48, 80, 3), expected uint16",
        ),
        ("32FC1; compressedDepth png", bytes(12) + with_png_size(PNG, 60000, 60000), "at most"),
    ],
)
def test_other_compressed_depth_is_refused(form, data, says):
    with pytest.raises(MessageError) as caught:
        compressed_depth_to_depth(PLAIN.CompressedImage(format=form, data=data))
    assert says in str(caught.value)


@settings(deadline=None)
@given(st.binary(min_size=12, max_size=12))
def test_no_quantisation_values_make_depth_that_is_neither_valid_nor_nan(header):
    stored = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    message = PLAIN.CompressedImage(format="32FC1; compressedDepth png", data=header + encode(stored, ".png"))
    depth = compressed_depth_to_depth(message)
    valid = ~np.isnan(depth)
    assert np.isfinite(depth[valid]).all()
    assert (depth[valid] > 0).all()


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_of_any_order_in_memory_is_written(encoding):
    depth = np.linspace(1, 5, 12, dtype=np.float32).reshape(3, 4)
    options = {"header": None, "sensor_msgs": PLAIN, "encoding": encoding}
    expected = compressed_depth_to_depth(depth_to_compressed_depth(depth, **options))
    for array in (np.asfortranarray(depth), depth[::-1][::-1], np.repeat(depth, 2, axis=1)[:, ::2]):
        written = depth_to_compressed_depth(array, **options)
        np.testing.assert_array_equal(compressed_depth_to_depth(written), expected)
