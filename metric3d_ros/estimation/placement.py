"""The place of an image in the network's input: resized to it, or fitted into a canvas of one size and padded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.estimation.dialects import Dialect
from metric3d_ros.model_contract import MEAN_RGB

Size = tuple[int, int]
"""(height, width) in pixels."""

_PADDING_RGB = np.rint(MEAN_RGB).astype(np.uint8)
"""The mean colour of the training as 8 bits have it, which is how the authors pad too."""


@dataclass(frozen=True)
class Placement:
    """An image of some size as the network gets it.

    Attributes:
        size_hw: (height, width) that it is resized to.
        canvas_hw: (height, width) of the network's input, in the middle of which the resized image lies.
        factor: by which the focal length is scaled; None takes that of the resized image's whole pixels.
    """

    size_hw: Size
    canvas_hw: Size
    factor: float | None = None

    @classmethod
    def alone(cls, size_hw: Size) -> Placement:
        """Return the placement of an image that fills the network's input."""
        return cls(size_hw, size_hw)

    @classmethod
    def fitted(cls, image_hw: Size, canvas_hw: Size) -> Placement:
        """Return the placement of an image that is fitted into a canvas without changing its aspect ratio.

        The arithmetic is that of the authors' own preparation: sides are rounded down, and the focal length is scaled
        by the factor itself.
        """
        factor = min(canvas_hw[0] / image_hw[0], canvas_hw[1] / image_hw[1])
        height, width = (max(1, int(side * factor)) for side in image_hw)
        return cls((height, width), canvas_hw, factor)

    def focal_px(self, camera: Camera, dialect: Dialect) -> float:
        """Return the focal length, in pixels, that sets the scale of the camera's image."""
        return dialect.scale(camera, self.size_hw) if self.factor is None else camera.focal_px * self.factor

    def place(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the network's input, uint8 (canvas H, canvas W, 3), of an RGB image uint8 (H, W, 3)."""
        resized = self._resize(rgb)
        if self.canvas_hw == self.size_hw:
            return resized
        canvas = np.empty((*self.canvas_hw, 3), np.uint8)
        canvas[:] = _PADDING_RGB
        canvas[self._rows, self._columns] = resized
        return canvas

    def crop(self, maps: dict[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the image's part of each map, (N, canvas H, canvas W) or with channels behind."""
        if self.canvas_hw == self.size_hw:
            return maps
        return {name: np.ascontiguousarray(values[:, self._rows, self._columns]) for name, values in maps.items()}

    @property
    def _rows(self) -> slice:
        top = (self.canvas_hw[0] - self.size_hw[0]) // 2
        return slice(top, top + self.size_hw[0])

    @property
    def _columns(self) -> slice:
        left = (self.canvas_hw[1] - self.size_hw[1]) // 2
        return slice(left, left + self.size_hw[1])

    def _resize(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if rgb.shape[:2] == self.size_hw:
            return np.ascontiguousarray(rgb)
        shrinks = self.size_hw[0] * self.size_hw[1] < rgb.shape[0] * rgb.shape[1]
        # The authors' preparation is bilinear whichever way; averaging draws smaller images without aliasing.
        interpolation = cv2.INTER_AREA if shrinks and self.factor is None else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(rgb, self.size_hw[::-1], interpolation=interpolation), np.uint8)
