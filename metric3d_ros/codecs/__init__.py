"""Decodes pictures (JPEG, PNG, TIFF, WebP), detects truncated ones, and converts 16-bit samples to 8 bits."""

from metric3d_ros.codecs.decoding import MAX_PIXELS, decode_picture
from metric3d_ros.codecs.recognition import TIFF, UNDERSTOOD, describe, picture_size, recognise, recognise_in_file

__all__ = [
    "MAX_PIXELS",
    "TIFF",
    "UNDERSTOOD",
    "decode_picture",
    "describe",
    "picture_size",
    "recognise",
    "recognise_in_file",
]
