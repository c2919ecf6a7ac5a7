"""Antialiased text on pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

TEXT_RGB = (232, 234, 237)
MUTED_RGB = (150, 156, 164)
WARNING_RGB = (255, 176, 66)

_FONT = cv2.FONT_HERSHEY_DUPLEX
# Height of a capital letter of the font at scale 1, in pixels.
_CAPITAL_PX = 22.0


def text_size_px(text: str, *, size_px: float) -> tuple[int, int]:
    """Return (width, height above the baseline) of `text` with capitals `size_px` high."""
    (width, height), _ = cv2.getTextSize(text, _FONT, size_px / _CAPITAL_PX, 1)
    return int(width), int(height)


def draw_text(
    picture: NDArray[np.uint8],
    text: str,
    at: tuple[float, float],
    *,
    size_px: float,
    rgb: tuple[int, int, int] = TEXT_RGB,
) -> None:
    """Write `text` (ASCII) into `picture` (H, W, 3), its baseline's left end at `at` (column, row)."""
    place = (round(at[0]), round(at[1]))
    cv2.putText(picture, text, place, _FONT, size_px / _CAPITAL_PX, rgb, 1, cv2.LINE_AA)
