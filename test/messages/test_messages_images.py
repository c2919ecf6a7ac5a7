"""Images: every encoding to RGB, and messages that contradict themselves."""

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_classes import PLAIN, plain_image

from metric3d_ros.codecs.sixteen_bits import to_8_bit
from metric3d_ros.errors import MessageError
from metric3d_ros.messages import (
    COLOUR_ENCODINGS,
    array_to_image,
    image_to_rgb,
)
from metric3d_ros.messages.encodings import find_encoding

MATRIX_ENCODINGS = tuple(
    f"{kind}C{channels}" for kind in ("8U", "8S", "16U", "16S", "32S", "32F", "64F") for channels in (1, 2, 3, 4)
)
ALL_ENCODINGS = tuple(dict.fromkeys((*COLOUR_ENCODINGS, *MATRIX_ENCODINGS, "32FC")))


def rgb_of(encoding, height, width, data, **fields):
    return image_to_rgb(plain_image(encoding, height, width, data, **fields))


RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]


@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", [255, 0, 0, 0, 0, 255]),
        ("bgr8", [0, 0, 255, 255, 0, 0]),
        ("rgba8", [255, 0, 0, 7, 0, 0, 255, 7]),
        ("bgra8", [0, 0, 255, 7, 255, 0, 0, 7]),
        ("8UC3", [0, 0, 255, 255, 0, 0]),
        ("8UC4", [0, 0, 255, 7, 255, 0, 0, 7]),
    ],
)
def test_channel_order_is_what_the_encoding_says(encoding, pixels):
    assert rgb_of(encoding, 1, 2, pixels).tolist() == [[RED, BLUE]]


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_gray_becomes_three_equal_channels(encoding):
    assert rgb_of(encoding, 2, 1, [10, 200]).tolist() == [[[10] * 3], [[200] * 3]]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("encoding", "samples", "expected"),
    [
        ("mono16", [65535, 257], [[[255] * 3, [1] * 3]]),
        ("rgb16", [65535, 0, 0, 0, 0, 65535], [[RED, BLUE]]),
        ("bgr16", [0, 0, 65535, 65535, 0, 0], [[RED, BLUE]]),
        ("rgba16", [65535, 0, 0, 9, 0, 0, 65535, 9], [[RED, BLUE]]),
        ("bgra16", [0, 0, 65535, 9, 65535, 0, 0, 9], [[RED, BLUE]]),
        ("16UC3", [0, 0, 65535, 65535, 0, 0], [[RED, BLUE]]),
        ("16UC4", [0, 0, 65535, 9, 65535, 0, 0, 9], [[RED, BLUE]]),
    ],
)
def test_16_bit_samples_are_read_in_their_byte_order(encoding, samples, expected, big):
    data = struct.pack(f"{'>' if big else '<'}{len(samples)}H", *samples)
    assert rgb_of(encoding, 1, 2, data, is_bigendian=int(big)).tolist() == expected


def test_16_bits_are_scaled_linearly_to_the_nearest_8():
    every = np.arange(65536, dtype=np.uint16)[None]
    nearest = (every.astype(int) + 128) // 257
    np.testing.assert_array_equal(to_8_bit(every), nearest)
    np.testing.assert_array_equal(to_8_bit(every.astype(">u2")), nearest)


# ITU-R BT.601, luma 16..235: colour -> Y, U, V.
YUV_COLOURS = {
    (255, 255, 255): (235, 128, 128),
    (0, 0, 0): (16, 128, 128),
    (255, 0, 0): (81, 90, 240),
    (0, 0, 255): (41, 240, 110),
}


def yuv_bytes(encoding, y, u, v, height, width):
    pixels = height * width
    return {
        "uyvy": [u, y, v, y] * (pixels // 2),
        "yuyv": [y, u, y, v] * (pixels // 2),
        "nv12": [y] * pixels + [u, v] * (pixels // 4),
        "nv21": [y] * pixels + [v, u] * (pixels // 4),
        "nv24": [y] * pixels + [u, v] * pixels,
    }[encoding]


@pytest.mark.parametrize("colour", YUV_COLOURS)
@pytest.mark.parametrize(
    ("encoding", "layout"),
    [
        ("uyvy", "uyvy"),
        ("yuv422", "uyvy"),
        ("yuyv", "yuyv"),
        ("yuv422_yuy2", "yuyv"),
        ("nv12", "nv12"),
        ("nv21", "nv21"),
        ("nv24", "nv24"),
    ],
)
def test_yuv_gives_the_colour_that_was_encoded(encoding, layout, colour):
    rgb = rgb_of(encoding, 2, 4, yuv_bytes(layout, *YUV_COLOURS[colour], 2, 4))
    assert rgb.shape == (2, 4, 3)
    assert np.abs(rgb.astype(int) - colour).max() <= 2


def test_nv24_agrees_with_nv12_where_both_store_the_same_chroma():
    rng = np.random.default_rng(5)
    luma = rng.integers(16, 236, (4, 6), dtype=np.uint8)
    chroma = rng.integers(60, 200, (2, 3, 2), dtype=np.uint8)
    full = chroma.repeat(2, axis=0).repeat(2, axis=1)
    subsampled = rgb_of("nv12", 4, 6, luma.tobytes() + chroma.tobytes())
    complete = rgb_of("nv24", 4, 6, luma.tobytes() + full.tobytes())
    assert np.abs(subsampled.astype(int) - complete).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("mosaic", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_mosaic_of_one_colour_gives_that_colour(mosaic, bits):
    levels = {"r": 200, "g": 100, "b": 50}
    tile = np.array([levels[letter] for letter in mosaic]).reshape(2, 2)
    samples = np.tile(tile, (3, 4)) * (1 if bits == 8 else 257)
    data = samples.astype("u1" if bits == 8 else "<u2").tobytes()
    assert (rgb_of(f"bayer_{mosaic}{bits}", 6, 8, data) == [200, 100, 50]).all()


def test_packed_rgb8_is_a_view_of_the_message():
    message = array_to_image(np.full((3, 5, 3), 9, np.uint8), "rgb8", header=None, sensor_msgs=PLAIN)
    rgb = image_to_rgb(message)
    message.data[0] = 77
    assert rgb[0, 0].tolist() == [77, 9, 9]


@pytest.mark.parametrize(
    "encoding", ["rgb8", "bgr8", "mono8", "bayer_grbg8", "uyvy", "nv12", "nv21", "nv24", "mono16", "rgb16"]
)
@pytest.mark.parametrize("padding", [1, 3, 64])
def test_row_padding_does_not_skew_the_picture(encoding, padding):
    encoded = find_encoding(encoding)
    rows, row_bytes = encoded.rows(4), encoded.row_bytes(6)
    pixels = np.random.default_rng(1).integers(0, 256, (rows, row_bytes), dtype=np.uint8)
    padded = np.pad(pixels, ((0, 0), (0, padding)), constant_values=255)
    expected = rgb_of(encoding, 4, 6, pixels.tobytes())
    rgb = rgb_of(encoding, 4, 6, padded.tobytes(), step=row_bytes + padding)
    np.testing.assert_array_equal(rgb, expected)
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_data_may_be_any_buffer(kind):
    message = plain_image("bgr8", 1, 2, b"")
    message.data = kind(bytes([0, 0, 255, 255, 0, 0]))
    assert image_to_rgb(message).tolist() == [[RED, BLUE]]


def test_colour_conversion_agrees_with_opencv_at_a_real_size():
    rng = np.random.default_rng(2)
    bgr = rng.integers(0, 256, (120, 161, 3), dtype=np.uint8)
    np.testing.assert_array_equal(rgb_of("bgr8", 120, 161, bgr.tobytes()), bgr[..., ::-1])
    gray = rng.integers(0, 256, (120, 160), dtype=np.uint8)
    expected = cv2.cvtColor(gray, cv2.COLOR_BayerBG2RGB)
    np.testing.assert_array_equal(rgb_of("bayer_rggb8", 120, 160, gray.tobytes()), expected)


# Messages that contradict themselves


GOOD = {"height": 2, "width": 3, "encoding": "bgr8", "is_bigendian": 0, "step": 9, "data": bytes(18)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"height": 0}, "3 x 0 pixels, expected at least 1 x 1"),
        ({"width": 0}, "0 x 2 pixels"),
        ({"width": 1 << 31, "height": 1 << 31}, "expected at most"),
        ({"step": 8}, "step is 8 bytes, expected at least 9"),
        ({"step": 0}, "step is 0 bytes"),
        ({"step": 10}, "18 bytes of data, expected 20"),
        ({"data": b""}, "no data"),
        ({"data": bytes(17)}, "17 bytes of data, expected 18"),
        ({"data": bytes(19)}, "19 bytes of data, expected 18"),
        ({"data": [0] * 18}, "data is list, expected bytes"),
        ({"height": 3}, "expected 27"),
        ({"encoding": ""}, "encoding is '', expected one of mono8"),
        ({"encoding": "yuv999"}, "'yuv999'"),
        ({"encoding": "32FC7"}, "'32FC7'"),
        ({"encoding": "x" * 5000}, "x" * 40 + "'"),
        ({"encoding": "nv21", "step": 3, "data": bytes(9)}, "multiple of 2"),
        ({"encoding": "yuyv", "step": 6, "data": bytes(12)}, "multiple of 2"),
        ({"encoding": "bayer_rggb8", "step": 3, "data": bytes(6)}, "needs 3 x 3"),
        ({"encoding": "32FC1", "step": 12, "data": bytes(24)}, "not a colour or gray picture"),
        ({"encoding": "16UC1", "step": 6, "data": bytes(12)}, "mono16"),
    ],
)
def test_a_message_that_contradicts_itself_is_refused_by_name(change, says):
    image_to_rgb(SimpleNamespace(**GOOD))
    with pytest.raises(MessageError) as caught:
        image_to_rgb(SimpleNamespace(**{**GOOD, **change}))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_the_pixel_limit_can_be_set():
    message = SimpleNamespace(**GOOD)
    assert image_to_rgb(message, max_pixels=6).shape == (2, 3, 3)
    with pytest.raises(MessageError, match="3 x 2 pixels, expected at most 5"):
        image_to_rgb(message, max_pixels=5)


sizes = st.one_of(st.integers(0, 8), st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=400)
@given(
    encoding=st.one_of(st.sampled_from(ALL_ENCODINGS), st.text(max_size=8)),
    height=sizes,
    width=sizes,
    step=st.one_of(st.none(), sizes),
    is_bigendian=st.integers(0, 255),
    length=st.one_of(st.none(), st.integers(0, 300)),
)
def test_any_image_is_converted_or_refused(encoding, height, width, step, is_bigendian, length):
    """Half of the fields, when left to None, are what the others call for, so that both outcomes are common."""
    try:
        encoded = find_encoding(encoding)
        row_bytes, rows = encoded.row_bytes(width), encoded.rows(height)
    except MessageError:
        row_bytes, rows = width, height
    step = row_bytes if step is None else step
    length = min(step * rows, 10_000) if length is None else length
    message = PLAIN.Image(
        height=height, width=width, encoding=encoding, step=step, is_bigendian=is_bigendian, data=bytes(length)
    )
    try:
        rgb = image_to_rgb(message)
    except MessageError:
        return
    assert rgb.shape == (height, width, 3)
    assert rgb.dtype == np.uint8
