"""Draws a training log as a picture."""

import json
from pathlib import Path

import cv2
import numpy as np

from metric3d_ros.errors import DataError
from metric3d_ros.files.boundary import MOST_TEXT_BYTES, read_lines

WIDTH, HEIGHT, MARGIN = 480, 300, 48
COLOURS = ((180, 80, 20), (30, 120, 220), (60, 160, 60), (150, 60, 160))


def draw_curves(log: Path, picture: Path) -> None:
    """Draw loss and held-out errors against minutes, one panel each, from a JSON-lines log into a PNG."""
    lines = read_lines(
        log, most_bytes=1 << 28, most_line_bytes=MOST_TEXT_BYTES, error=DataError, remedy="train again", what="log"
    )
    rows = [json.loads(line) for _, line in lines]
    minutes = [row["elapsed_s"] / 60 for row in rows]
    panels = {"loss": {"training": [row["loss"] for row in rows]}}
    for size, errors in rows[-1]["errors"].items():
        for name in errors:
            panels.setdefault(name, {})[size] = [row["errors"].get(size, {}).get(name, np.nan) for row in rows]
    images = [_panel(name, minutes, lines) for name, lines in panels.items()]
    while len(images) % 3:
        images.append(np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    cv2.imwrite(str(picture), np.concatenate([np.concatenate(images[i : i + 3], 1) for i in range(0, len(images), 3)]))


def _panel(name: str, minutes: list[float], lines: dict[str, list[float]]) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    values = np.array(list(lines.values()), np.float64)
    low, high = 0.0, max(float(np.nanmax(values)) * 1.05, 1e-6)
    span = max(minutes[-1], 1e-6)
    right, bottom = WIDTH - 12, HEIGHT - 30
    cv2.putText(image, name, (MARGIN, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    for k in range(5):
        y = bottom - (bottom - 28) * k // 4
        cv2.line(image, (MARGIN, y), (right, y), (225, 225, 225), 1)
        label = f"{low + (high - low) * k / 4:.3g}"
        cv2.putText(image, label, (4, y + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (90, 90, 90), 1, cv2.LINE_AA)
    cv2.putText(
        image, f"{span:.0f} min", (right - 50, HEIGHT - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (90, 90, 90), 1, cv2.LINE_AA
    )
    for index, (label, series) in enumerate(lines.items()):
        points = [
            [MARGIN + (right - MARGIN) * m / span, bottom - (bottom - 28) * (v - low) / (high - low)]
            for m, v in zip(minutes, series, strict=True)
            if np.isfinite(v)
        ]
        colour = COLOURS[index % len(COLOURS)]
        cv2.polylines(image, [np.int32(np.round(points))], False, colour, 2, cv2.LINE_AA)
        at = (right - 110, 18 + 14 * index)
        cv2.putText(image, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
    return image
