"""Encoded pictures (JPEG, PNG, TIFF, WebP) to arrays: where each one ends, whether all of it is there, what is not."""

from metric3d_ros.codecs.decoding import decode_picture
from metric3d_ros.codecs.recognition import TIFF, UNDERSTOOD, describe, picture_size, recognise

__all__ = ["TIFF", "UNDERSTOOD", "decode_picture", "describe", "picture_size", "recognise"]
