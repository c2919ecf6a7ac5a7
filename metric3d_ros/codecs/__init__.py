"""Encoded pictures (JPEG, PNG, TIFF, WebP) to arrays, and how much of a truncated one is missing."""

from metric3d_ros.codecs.decoding import decode_picture
from metric3d_ros.codecs.recognition import TIFF, UNDERSTOOD, describe, picture_size, recognise

__all__ = ["TIFF", "UNDERSTOOD", "decode_picture", "describe", "picture_size", "recognise"]
