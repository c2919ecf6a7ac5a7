"""Encoded pictures, and ones whose header states another size than they have."""

import struct
import zlib

import cv2


def encode(picture, suffix, *parameters):
    """Return the file that OpenCV writes for a picture."""
    ok, data = cv2.imencode(suffix, picture, list(parameters))
    assert ok
    return data.tobytes()


def with_png_size(png, width, height):
    """Return an RGB PNG with another size in its header, whose checksum fits."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + png[33:]  # the picture's data and its end mark
    )
