"""Encoded pictures (JPEG, PNG, TIFF, WebP) to arrays, 16-bit samples to 8 bits, and what a truncated picture lacks."""

from metric3d_ros.codecs.decoding import decode_picture
from metric3d_ros.codecs.recognition import TIFF, UNDERSTOOD, describe, picture_size, recognise

__all__ = ["TIFF", "UNDERSTOOD", "decode_picture", "describe", "picture_size", "recognise"]
