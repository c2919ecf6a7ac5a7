"""Compressed images: as plugins and cameras send them, bombs and damage."""

import resource
import struct

import cv2
import numpy as np
import pytest
from encoded_pictures import encode, with_png_size
from hypothesis import given, settings
from hypothesis import strategies as st
from message_classes import PLAIN

from metric3d_ros.errors import MessageError
from metric3d_ros.messages import compressed_to_rgb
from metric3d_ros.messages.compressed import read_picture_size

# Big plain areas, so that JPEG keeps the colours: red on the left, blue on the right, a white bar at the top.
RGB = np.zeros((48, 80, 3), np.uint8)
RGB[:, :40, 0] = RGB[:, 40:, 2] = 255
RGB[:16] = 255


JPEG = encode(RGB[..., ::-1], ".jpg", cv2.IMWRITE_JPEG_QUALITY, 98)
PNG = encode(RGB[..., ::-1], ".png")


def compressed(data, form="jpeg"):
    return PLAIN.CompressedImage(format=form, data=data)


# Pictures


@pytest.mark.parametrize("form", ["jpeg", "png", "rgb8; jpeg compressed bgr8", "bgr8; png compressed bgr8", "", "?"])
@pytest.mark.parametrize(("data", "tolerance"), [(JPEG, 12), (PNG, 0)], ids=["jpeg", "png"])
def test_pictures_are_decoded_to_rgb_whatever_format_says(data, tolerance, form):
    rgb = compressed_to_rgb(compressed(data, form))
    assert rgb.dtype == np.uint8
    away_from_edges = [(8, 20), (8, 60), (32, 20), (32, 60)]
    for row, column in away_from_edges:
        assert np.abs(rgb[row, column].astype(int) - RGB[row, column]).max() <= tolerance


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_gray_pictures_become_three_equal_channels(suffix):
    gray = np.full((16, 24), 90, np.uint8)
    rgb = compressed_to_rgb(compressed(encode(gray, suffix), "mono8; jpeg compressed mono8"))
    assert rgb.shape == (16, 24, 3)
    assert (rgb == 90).all()


def test_a_gray_picture_of_a_bayer_camera_is_its_mosaic():
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (6, 8))
    rgb = compressed_to_rgb(compressed(encode(mosaic, ".png"), "bayer_rggb8; png compressed "))
    assert (rgb == [200, 100, 50]).all()


# What image_transport's compressed plugin makes of each raw image: the encoding that its publisher converts to before
# it encodes, None for none, and what it appends to "<raw>; <codec> compressed " (compressed_publisher.cpp; a mosaic
# there if its parameter jpeg_compress_bayer is set).
COLOURS = ("rgb8", "bgr8", "rgba8", "bgra8", "rgb16", "bgr16", "rgba16", "bgra16")
GRAYS = ("mono8", "mono16", "8UC1")
MOSAICS = tuple(f"bayer_{order}{bits}" for order in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16))
PLUGIN = [
    *((raw, "jpeg", "bgr8", "bgr8") for raw in (*COLOURS, "yuv422", "yuv422_yuy2")),
    *((raw, "jpeg", "mono8", "mono8") for raw in (*GRAYS, *MOSAICS)),
    *((raw, "jpeg", raw, raw) for raw in MOSAICS if raw.endswith("8")),
    *((raw, "jpeg", None, "") for raw in MOSAICS if raw.endswith("8")),  # before 2022
    *((raw, "png", held, held) for raw in COLOURS for held in [f"bgr{raw.lstrip('rgba')}"]),
    *((raw, "png", held, held) for raw in COLOURS if "a" in raw for held in [f"bgra{raw.lstrip('rgba')}"]),
    *((raw, "png", None, "") for raw in (*GRAYS, *MOSAICS, "8UC3")),
    *((raw, "tiff", None, "") for raw in (*COLOURS, *GRAYS, *MOSAICS, "8UC3", "8UC4")),
]


def raw_pixels(encoding):
    """Return what an Image of that encoding holds of RGB, whose areas are even, so that mosaics lose nothing."""
    bits16 = encoding.endswith("16")
    if encoding.startswith("bayer"):
        pixels = np.empty(RGB.shape[:2], np.uint8)
        for at, colour in enumerate(encoding[6:10]):
            row, column = divmod(at, 2)
            pixels[row::2, column::2] = RGB[row::2, column::2, "rgb".index(colour)]
    elif encoding.startswith(("mono", "8UC1")):
        pixels = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)
    else:
        order = {"8UC3": "bgr", "8UC4": "bgra"}.get(encoding, encoding.rstrip("0123456789"))
        alpha = np.full(RGB.shape[:2], 77, np.uint8)
        pixels = np.dstack([alpha if each == "a" else RGB[..., "rgb".index(each)] for each in order])
    return pixels.astype(np.uint16) * 257 if bits16 else pixels


@pytest.mark.parametrize(("raw", "codec", "converted_to", "tail"), PLUGIN)
def test_what_the_plugin_writes_is_read_as_the_picture_that_it_was(raw, codec, converted_to, tail):
    if raw.startswith("yuv"):
        pixels = RGB[..., ::-1]
    elif converted_to == "mono8":
        pixels = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)
    else:
        pixels = raw_pixels(converted_to or raw)
    data = encode(pixels, f".{codec}", *([cv2.IMWRITE_JPEG_QUALITY, 98] if codec == "jpeg" else []))
    found = compressed_to_rgb(compressed(data, f"{raw}; {codec} compressed {tail}"))
    is_gray = converted_to == "mono8" or raw in GRAYS
    expected = np.dstack([cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)] * 3) if is_gray else RGB
    for row, column in [(8, 20), (8, 60), (32, 20), (32, 60)]:
        # JPEG mixes the colours of a mosaic, which alternate from pixel to pixel.
        tolerance = 0 if codec != "jpeg" else 12
        assert np.abs(found[row, column].astype(int) - expected[row, column]).max() <= tolerance


@pytest.mark.parametrize(
    ("form", "is_swapped"),
    [
        ("rgb8; jpeg compressed rgb8", True),
        ("bgr8; jpeg compressed rgb8", True),
        ("rgb8; jpeg compressed", True),
        ("bgr8; png compressed", True),
        ("rgb8; tiff compressed ", True),
        ("bgr8; tiff compressed ", False),
        ("rgb8; jpeg compressed bgr8", False),
        ("rgb8; webp compressed", False),
        ("rgb8", False),
        ("jpeg", False),
    ],
)
def test_red_and_blue_are_where_the_format_says(form, is_swapped):
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 2] = 250  # by the file
    found = compressed_to_rgb(compressed(encode(red, ".png"), form))
    assert (found == ([0, 0, 250] if is_swapped else [250, 0, 0])).all()


@pytest.mark.parametrize("suffix", [".webp", ".tiff"])
def test_webp_and_tiff_are_decoded_whatever_format_says(suffix):
    data = encode(RGB[..., ::-1], suffix, *([cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []))
    for form in ("", suffix[1:], "bgr8; jpeg compressed bgr8"):
        np.testing.assert_array_equal(compressed_to_rgb(compressed(data, form)), RGB)


@pytest.mark.parametrize(
    ("form", "array", "suffix", "says"),
    [
        ("16UC1; png compressed ", np.ones((8, 8), np.uint16), ".png", "16UC1 is not a colour or gray picture"),
        ("32FC1; tiff compressed ", np.ones((8, 8), np.float32), ".tiff", "32FC1 is not a colour or gray picture"),
        ("16UC1; compressedDepth png", np.ones((8, 8), np.uint16), ".png", "which is depth"),
        ("tiff", np.ones((8, 8), np.float32), ".tiff", "float32 samples, expected 8 or 16 bits"),
    ],
)
def test_depth_is_refused_as_it_is_in_raw_images(form, array, suffix, says):
    with pytest.raises(MessageError) as caught:
        compressed_to_rgb(compressed(encode(array, suffix), form))
    assert says in str(caught.value)
    assert "subscribe to the camera's pictures, not to depth" in str(caught.value)


@pytest.mark.parametrize("data", [JPEG[:-2], JPEG + b"\0\0\0\x18ftypmp42" + bytes(99), PNG[:-12], PNG + b"trailer"])
def test_pictures_with_something_or_nothing_behind_them_are_whole(data):
    whole = JPEG if data.startswith(JPEG[:4]) else PNG
    np.testing.assert_array_equal(compressed_to_rgb(compressed(data)), compressed_to_rgb(compressed(whole)))


def test_16_bit_pngs_are_scaled_like_16_bit_images():
    rgb16 = np.zeros((4, 6, 3), np.uint16)
    rgb16[..., 0], rgb16[..., 2] = 65535, 257
    data = encode(rgb16[..., ::-1], ".png")
    assert (compressed_to_rgb(compressed(data, "rgb16; png compressed bgr16")) == [255, 0, 1]).all()


def test_alpha_is_dropped():
    bgra = np.zeros((4, 4, 4), np.uint8)
    bgra[..., 2] = 255
    assert (compressed_to_rgb(compressed(encode(bgra, ".png"))) == [255, 0, 0]).all()


def test_exif_orientation_is_not_applied():
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    turned = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + JPEG[2:]
    by_default = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert by_default.shape[:2] == (80, 48), "OpenCV must see the tag, or this test shows nothing"
    assert compressed_to_rgb(compressed(turned)).shape[:2] == (48, 80)


def test_a_thumbnail_in_the_header_is_not_taken_for_the_picture():
    thumbnail = encode(np.zeros((8, 8, 3), np.uint8), ".jpg")
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert compressed_to_rgb(compressed(JPEG[:2] + segment + JPEG[2:])).shape[:2] == (48, 80)


@pytest.mark.parametrize("padding", [bytes(100_000), b"\xaa\x55" * 8], ids=["zeros", "a few bytes"])
@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_padding_after_the_end_mark_is_tolerated(data, padding):
    assert compressed_to_rgb(compressed(data + padding)).shape[:2] == (48, 80)


# Bombs and damage


def jpeg_of_size(width, height):
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 :]


@pytest.mark.parametrize("bomb", [with_png_size(PNG, 60000, 60000), jpeg_of_size(60000, 60000)], ids=["png", "jpeg"])
def test_a_bomb_is_refused_before_its_pixels_are_allocated(bomb):
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MessageError, match="60000 x 60000 pixels, expected at most"):
        compressed_to_rgb(compressed(bomb))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000


def test_a_png_whose_chunk_claims_gigabytes_is_refused_before_they_are_allocated():
    data = PNG[:33] + struct.pack(">I", 0x67FFD949) + b"IDAT" + bytes(100) + PNG[-12:]
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MessageError, match="48 of its 48 rows cannot be read"):
        compressed_to_rgb(compressed(data))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000


def test_a_progressive_jpeg_of_countless_scans_is_refused():
    data = encode(RGB[..., ::-1], ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(MessageError, match="more than 24 scans"):
        compressed_to_rgb(compressed(data[:-2] + last * 100 + data[-2:]))


def test_scans_behind_a_complete_picture_are_not_decoded():
    scan = JPEG[JPEG.index(b"\xff\xda") : -2]
    np.testing.assert_array_equal(
        compressed_to_rgb(compressed(JPEG[:-2] + scan * 100 + JPEG[-2:])), compressed_to_rgb(compressed(JPEG))
    )


def test_progressive_jpegs_are_decoded():
    data = encode(RGB[..., ::-1], ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert data.count(b"\xff\xda") > 1
    assert compressed_to_rgb(compressed(data)).shape == RGB.shape


def test_the_pixel_limit_can_be_set():
    assert compressed_to_rgb(compressed(PNG), max_pixels=48 * 80).shape == (48, 80, 3)
    with pytest.raises(MessageError, match="80 x 48 pixels, expected at most 3839"):
        compressed_to_rgb(compressed(PNG), max_pixels=48 * 80 - 1)


def test_sizes_are_read_from_the_header_alone():
    assert read_picture_size(np.frombuffer(jpeg_of_size(7, 1200), np.uint8)) == (1200, 7)
    assert read_picture_size(np.frombuffer(with_png_size(PNG, 7, 1200), np.uint8)) == (1200, 7)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no data"),
        (b"\xff", "starts with ff), expected JPEG, PNG, TIFF or WebP"),
        (b"GIF89a", "is a GIF (it starts with 47 49 46 38), expected JPEG, PNG, TIFF or WebP"),
        (b"qoif" + bytes(20), "is a QOI picture"),
        (b"\0\0\0\x01\x67" + bytes(20), "is a video (H.264 or H.265)"),
        (b"\0\0\0\x1cftypavif" + bytes(20), "is an AVIF picture"),
        (bytes(12) + PNG, "is depth as the compressedDepth plugin sends it"),
        (b"\xff\xd8\xff", "without a header"),
        (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 3, "without a header"),
        (b"\x89PNG\r\n\x1a\n", "PNG of 8 bytes without a header"),
        (jpeg_of_size(0, 5), "0 x 5 pixels by its header, expected at least 1 x 1"),
        (with_png_size(PNG, 5, 0), "5 x 0 pixels"),
        (JPEG[: len(JPEG) // 4], "48 of its 48 rows are missing"),
        (PNG[:33] + PNG[-12:], "48 of its 48 rows are missing"),
        (PNG[:60] + bytes(1) + PNG[61:], "damaged"),
    ],
)
def test_damaged_data_are_refused_with_the_reason(data, says):
    with pytest.raises(MessageError) as caught:
        compressed_to_rgb(compressed(data))
    assert says in str(caught.value)


def check_decoded_or_refused(data):
    try:
        rgb = compressed_to_rgb(compressed(data), max_pixels=1 << 20)
    except MessageError:
        return
    assert rgb.dtype == np.uint8
    assert rgb.ndim == 3
    assert rgb.shape[2] == 3
    assert rgb.shape[0] * rgb.shape[1] <= 1 << 20


@settings(deadline=None, max_examples=300)
@given(
    good=st.sampled_from([JPEG, PNG]),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.one_of(st.none(), st.integers(0, 4000)),
)
def test_changed_bytes_never_crash_the_decoder(good, changes, cut):
    data = bytearray(good)
    for at, value in changes:
        data[at % len(data)] = value
    check_decoded_or_refused(bytes(data[: None if cut is None else cut % len(data)]))


@settings(deadline=None)
@given(start=st.sampled_from([b"", JPEG[:3], JPEG[:160], PNG[:8], PNG[:33]]), rest=st.binary(max_size=200))
def test_noise_after_a_good_start_never_crashes_the_decoder(start, rest):
    check_decoded_or_refused(start + rest + b"\xff\xd9" + PNG[-12:])
