"""What cv_bridge makes of each image, beside what we make of it: the table of docs/cv_bridge.md."""

import array
import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from message_classes import ROS, header_of

from metric3d_ros.errors import MessageError
from metric3d_ros.messages import (
    COLOUR_ENCODINGS,
    array_to_image,
    compressed_to_rgb,
    depth_to_image,
    image_to_depth,
    image_to_rgb,
)
from metric3d_ros.messages.encodings import find_encoding

DOCUMENT = Path(__file__).parents[2] / "docs" / "cv_bridge.md"

EQUAL, WITHIN_1, WRONG, NARROWER, BITS_16 = "equal", "within 1", "**wrong**", "**narrower**", "**16 bits**"
"""How a picture compares with the right one. Bold: it is another one, and nothing says so."""
RAISES = "raises"
"""cv_bridge's outcome where it reports an error."""
REFUSED = "refused"
"""Our own outcome where we do: MessageError, a line that says what is wrong with the message."""
NO_CASE = "–"

OURS = {
    "packed": EQUAL,
    "padded by whole pixels": EQUAL,
    "padded by part of a pixel": EQUAL,
    "big-endian, NumPy 1": EQUAL,
    "big-endian, NumPy 2": EQUAL,
    "step too small": REFUSED,
    "cut short": REFUSED,
    "bytes too many": REFUSED,
}
"""What can be the matter with an Image, and what we make of it, whatever its encoding."""

_KNOWN = (EQUAL, EQUAL, WRONG, EQUAL, RAISES, NARROWER, RAISES, EQUAL)
_KNOWN_BYTE = (EQUAL, EQUAL, NO_CASE, EQUAL, RAISES, NARROWER, RAISES, EQUAL)
_UNKNOWN = (RAISES,) * 8
_UNKNOWN_BYTE = (RAISES, RAISES, NO_CASE, RAISES, RAISES, RAISES, RAISES, RAISES)
THEIRS = {
    ("rgb8", "bgr8", "rgba8", "bgra8"): _KNOWN,
    ("mono8",): _KNOWN_BYTE,
    ("mono16", "rgb16", "bgr16", "rgba16", "bgra16"): _KNOWN,
    ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"): _KNOWN_BYTE,
    ("bayer_rggb16", "bayer_bggr16", "bayer_gbrg16", "bayer_grbg16"): tuple(
        WITHIN_1 if cell == EQUAL else cell for cell in _KNOWN
    ),
    ("yuv422", "yuv422_yuy2"): _KNOWN,
    ("uyvy", "yuyv"): _UNKNOWN,
    ("nv12", "nv21", "nv24"): _UNKNOWN_BYTE,
    ("8UC3", "8UC4", "16UC3", "16UC4"): _UNKNOWN,
    ("8UC1",): _UNKNOWN_BYTE,
}
"""What cv_bridge makes of each case, in the order of OURS, when asked for rgb8."""

FILES = {
    "JPEG, colour": (EQUAL, EQUAL),
    "JPEG, gray": (EQUAL, EQUAL),
    "PNG with alpha": (EQUAL, EQUAL),
    "PNG, 16 bits": (EQUAL, BITS_16),
    "PNG, format bayer_rggb8": (EQUAL, WRONG),
}
"""Of each CompressedImage: what we make of it, what cv_bridge does."""

NUMPY = int(np.__version__.split(".")[0])
SIZES_HW = ((46, 62), (6, 8))


def _why_not() -> str:
    """Return why cv_bridge cannot be compared with, or nothing if it can.

    A cv_bridge that was built for another NumPy ends the process that calls it, so another process tries it first. One
    that was built for another OpenCV raises KeyError.
    """
    if ROS is None or importlib.util.find_spec("cv_bridge") is None:
        return "cv_bridge is not installed; it comes with ROS, not as a wheel"
    code = (
        "import numpy, cv_bridge; bridge = cv_bridge.CvBridge();"
        "bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(numpy.zeros((2, 3, 3), 'u1'), 'bgr8'), 'rgb8')"
    )
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or [""])[-1]
        versions = f"NumPy {np.__version__} and OpenCV {cv2.__version__}"
        return f"cv_bridge does not run with {versions} (exit status {tried.returncode}): {last}"
    return ""


WHY_NOT = _why_not()
needs_cv_bridge = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(scope="module")
def bridge():
    from cv_bridge import CvBridge

    return CvBridge()


def image_of(encoding, rows, *, height, width, is_bigendian=0, data=None):
    """Build an Image of the (rows, step) bytes given; `data` instead of them where they shall not fit."""
    return ROS.Image(
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=is_bigendian,
        data=array.array("B", rows.tobytes() if data is None else data),
    )


def message_of(encoding, case, *, height, width):
    """Return the message of this case with random pixels, and the picture that it shows.

    The picture is our own of the packed message, which test_messages_images.py holds to values worked out by hand.
    """
    encoded = find_encoding(encoding)
    pixel_bytes = encoded.channels * encoded.dtype.itemsize
    rng = np.random.default_rng(7)
    rows = rng.integers(0, 256, (encoded.rows(height), encoded.row_bytes(width)), dtype=np.uint8)
    size = {"height": height, "width": width}
    packed = image_of(encoding, rows, **size)
    picture = image_to_rgb(packed)
    if case.startswith("padded"):
        padding = 5 * pixel_bytes if case.endswith("whole pixels") else pixel_bytes - 1
        filler = rng.integers(0, 256, (len(rows), padding), dtype=np.uint8)
        return image_of(encoding, np.hstack([rows, filler]), **size), picture
    if case.startswith("big-endian"):
        swapped = rows.view(encoded.dtype).byteswap().view(np.uint8)
        return image_of(encoding, swapped, is_bigendian=1, **size), picture
    if case == "step too small":
        # By two pixels, since those of YUV 4:2:2 come in pairs.
        return image_of(encoding, rows[:, : -2 * pixel_bytes], **size), picture
    data = {"packed": rows.tobytes(), "cut short": rows.tobytes()[:-1], "bytes too many": rows.tobytes() + b"\0"}
    return image_of(encoding, rows, data=data[case], **size), picture


def outcome(convert, message, picture):
    """Say how what `convert` makes of the message compares with `picture`."""
    try:
        converted = convert(message)
    except MessageError:
        return REFUSED
    # cv_bridge's own error is a TypeError; NumPy and OpenCV raise the others through it.
    except (TypeError, AttributeError, cv2.error):
        return RAISES
    if converted.dtype != np.uint8:
        return BITS_16
    if converted.shape[1] < picture.shape[1]:
        return NARROWER
    assert converted.shape == picture.shape
    difference = np.abs(converted.astype(int) - picture).max()
    return {0: EQUAL, 1: WITHIN_1}.get(difference, WRONG)


@needs_cv_bridge
@pytest.mark.parametrize(
    ("encoding", "row"), [(encoding, row) for encodings, row in THEIRS.items() for encoding in encodings]
)
def test_cv_bridge_and_we_make_of_an_image_what_the_table_says(bridge, encoding, row):
    expected = {
        case: (OURS[case], theirs)
        for case, theirs in zip(OURS, row, strict=True)
        if theirs != NO_CASE and ("NumPy" not in case or case.endswith(f"NumPy {NUMPY}"))
    }
    for height, width in SIZES_HW:
        found = {}
        for case in expected:
            message, picture = message_of(encoding, case, height=height, width=width)
            theirs = outcome(lambda each: bridge.imgmsg_to_cv2(each, "rgb8"), message, picture)
            found[case] = (outcome(image_to_rgb, message, picture), theirs)
        assert found == expected, "if cv_bridge has changed, correct THEIRS and docs/cv_bridge.md"


@needs_cv_bridge
def test_every_16_bit_value_is_scaled_alike(bridge):
    values = np.arange(65536, dtype="<u2").reshape(128, 512)
    message = array_to_image(values, "mono16", header=header_of(ROS), sensor_msgs=ROS)
    np.testing.assert_array_equal(image_to_rgb(message), bridge.imgmsg_to_cv2(message, "rgb8"))


@needs_cv_bridge
def test_a_mosaic_too_small_to_interpolate_is_black_with_cv_bridge_and_refused_by_us(bridge):
    message = image_of("bayer_rggb8", np.full((2, 6), 200, np.uint8), height=2, width=6)
    assert not bridge.imgmsg_to_cv2(message, "rgb8").any()
    with pytest.raises(MessageError, match="needs 3 x 3"):
        image_to_rgb(message)


@needs_cv_bridge
def test_only_we_turn_millimetres_into_metres(bridge):
    depth = np.array([[1.5, np.nan, 60.0]], np.float32)
    message = depth_to_image(depth, header=header_of(ROS), sensor_msgs=ROS, encoding="16UC1")
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message, "32FC1"), [[1500.0, 0.0, 60000.0]])
    np.testing.assert_allclose(image_to_depth(message), depth)


def array_of(encoding):
    encoded = find_encoding(encoding)
    shape = (encoded.rows(6), 8, *([encoded.channels] if encoded.channels > 1 else []))
    return np.random.default_rng(3).integers(0, 100, shape).astype(encoded.dtype)


@needs_cv_bridge
def test_arrays_become_the_same_message_where_cv_bridge_knows_the_encoding(bridge):
    header = header_of(ROS)
    for encoding in (*COLOUR_ENCODINGS, "16UC1", "32FC1", "32FC3", "64FC1", "8SC2"):
        ours = array_to_image(array_of(encoding), encoding, header=header, sensor_msgs=ROS)
        if encoding in ("uyvy", "yuyv", "nv12", "nv21", "nv24"):
            with pytest.raises(TypeError, match="Unrecognized"):
                bridge.cv2_to_imgmsg(array_of(encoding), encoding, header=header)
        else:
            assert bridge.cv2_to_imgmsg(array_of(encoding), encoding, header=header) == ours, encoding


def file_of(kind):
    """Return the CompressedImage of this kind, and the picture that it shows."""
    coarse = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    bgr = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)
    gray = bgr[..., 1]
    extension = ".jpg" if kind.startswith("JPEG") else ".png"
    source = {
        "JPEG, gray": gray,
        "PNG with alpha": np.dstack([bgr, gray]),
        "PNG, 16 bits": bgr.astype(np.uint16) * 257,
        "PNG, format bayer_rggb8": gray,
    }.get(kind, bgr)
    data = cv2.imencode(extension, source)[1]
    if "bayer" in kind:
        picture = cv2.cvtColor(gray, cv2.COLOR_BayerBG2RGB)
    else:
        picture = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    stated = "bayer_rggb8; png compressed" if "bayer" in kind else f"bgr8; {extension[1:]} compressed bgr8"
    return ROS.CompressedImage(format=stated, data=array.array("B", data.tobytes())), picture


@needs_cv_bridge
@pytest.mark.parametrize("kind", FILES)
def test_cv_bridge_and_we_make_of_a_file_what_the_table_says(bridge, kind):
    message, picture = file_of(kind)
    ours = outcome(compressed_to_rgb, message, picture)
    theirs = outcome(lambda each: bridge.compressed_imgmsg_to_cv2(each, "rgb8"), message, picture)
    assert (ours, theirs) == FILES[kind]


@needs_cv_bridge
def test_a_jpeg_cut_short_is_refused_by_us_and_at_best_by_cv_bridge(bridge):
    message, picture = file_of("JPEG, colour")
    message.data = message.data[: len(message.data) // 2]
    assert outcome(compressed_to_rgb, message, picture) == REFUSED
    # Older OpenCV (4.6 to 4.10 were seen to) fills up with gray what is missing; OpenCV 4.14 decodes nothing.
    theirs = outcome(lambda each: bridge.compressed_imgmsg_to_cv2(each, "rgb8"), message, picture)
    assert theirs in (WRONG, RAISES)


# What holds without cv_bridge


def markdown(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def test_the_document_shows_these_tables():
    images = markdown(
        ["encoding", *OURS],
        [["*ours, every encoding*", *OURS.values()], *([", ".join(names), *cells] for names, cells in THEIRS.items())],
    )
    files = markdown(["file", "ours", "cv_bridge"], [[kind, *outcomes] for kind, outcomes in FILES.items()])
    text = DOCUMENT.read_text(encoding="utf-8")
    assert images in text, f"{DOCUMENT.name} must hold:\n{images}"
    assert files in text, f"{DOCUMENT.name} must hold:\n{files}"


def test_the_table_has_every_encoding_once():
    listed = [encoding for encodings in THEIRS for encoding in encodings]
    assert sorted(listed) == sorted(COLOUR_ENCODINGS)
