"""Arrays become images and come back, in every encoding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_classes import BOTH, PLAIN, bytes_of, header_of, over_the_wire, plain_image

from metric3d_ros.errors import MessageError
from metric3d_ros.messages import (
    COLOUR_ENCODINGS,
    RawImage,
    array_to_image,
    image_to_array,
    raw_to_image,
)
from metric3d_ros.messages.encodings import find_encoding

MATRIX_ENCODINGS = tuple(
    f"{kind}C{channels}" for kind in ("8U", "8S", "16U", "16S", "32S", "32F", "64F") for channels in (1, 2, 3, 4)
)
ALL_ENCODINGS = tuple(dict.fromkeys((*COLOUR_ENCODINGS, *MATRIX_ENCODINGS, "32FC")))


def random_raw(encoding, *, height, width, padding, is_bigendian, seed):
    encoded = find_encoding(encoding)
    rows = encoded.rows(height)
    step = encoded.row_bytes(width) + padding
    data = np.random.default_rng(seed).integers(0, 256, rows * step, dtype=np.uint8)
    return plain_image(encoding, height, width, data.tobytes(), step=step, is_bigendian=int(is_bigendian))


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ALL_ENCODINGS)
def test_message_to_array_to_message_is_byte_identical(encoding, padding, is_bigendian):
    message = random_raw(encoding, height=4, width=6, padding=padding, is_bigendian=is_bigendian, seed=3)
    again = raw_to_image(image_to_array(message), header=None, sensor_msgs=PLAIN)
    assert bytes_of(again.data) == message.data
    for field in ("height", "width", "encoding", "step", "is_bigendian"):
        assert getattr(again, field) == getattr(message, field)


@settings(deadline=None)
@given(
    encoding=st.sampled_from(ALL_ENCODINGS),
    height=st.integers(2, 9).map(lambda n: 2 * n),
    width=st.integers(2, 9).map(lambda n: 2 * n),
    padding=st.integers(0, 17),
    is_bigendian=st.booleans(),
    seed=st.integers(0, 9),
)
def test_round_trip_survives_a_native_copy_of_the_array(encoding, height, width, padding, is_bigendian, seed):
    message = random_raw(encoding, height=height, width=width, padding=padding, is_bigendian=is_bigendian, seed=seed)
    raw = image_to_array(message)
    native = raw.array.astype(raw.array.dtype.newbyteorder("="))
    again = raw_to_image(
        RawImage(array=native, encoding=raw.encoding, is_bigendian=raw.is_bigendian, padding=raw.padding),
        header=None,
        sensor_msgs=PLAIN,
    )
    # Floats may be NaN with a payload that a copy keeps, so the bytes are compared, not the values.
    assert bytes_of(again.data) == message.data


@pytest.mark.parametrize("messages", BOTH)
@pytest.mark.parametrize(
    ("encoding", "array"),
    [
        ("rgb8", np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)),
        ("mono16", np.array([[1, 256, 65535], [2, 3, 4]], np.uint16)),
        ("32FC1", np.array([[1.5, np.nan, np.inf], [0, -1, 1e-30]], np.float32)),
        ("32FC3", np.arange(18, dtype=np.float32).reshape(2, 3, 3)),
    ],
)
def test_arrays_become_messages_that_survive_the_wire(messages, encoding, array):
    header = header_of(messages)
    message = over_the_wire(array_to_image(array, encoding, header=header, sensor_msgs=messages))
    assert (message.height, message.width, message.encoding, message.is_bigendian) == (2, 3, encoding, 0)
    assert message.step == array[0].nbytes
    assert bytes_of(message.data) == array.tobytes()
    assert message.header == header
    np.testing.assert_array_equal(image_to_array(message).array, array)


def test_arrays_that_are_not_contiguous_are_written_in_order():
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)[::2, ::3]
    message = array_to_image(array, "mono8", header=None, sensor_msgs=PLAIN)
    assert list(bytes_of(message.data)) == [0, 3, 12, 15]


@pytest.mark.parametrize(
    ("array", "encoding"),
    [
        (np.zeros((2, 3), np.float64), "32FC1"),
        (np.zeros((2, 3), np.uint8), "rgb8"),
        (np.zeros((2, 3, 4), np.uint8), "rgb8"),
        (np.zeros((2, 3, 1), np.uint8), "mono8"),
        (np.zeros((4,), np.uint8), "mono8"),
        (np.zeros((4, 4), np.uint8), "nv12"),
        (np.zeros((0, 3), np.uint8), "mono8"),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(array, encoding):
    with pytest.raises(MessageError, match="expected"):
        array_to_image(array, encoding, header=None, sensor_msgs=PLAIN)
