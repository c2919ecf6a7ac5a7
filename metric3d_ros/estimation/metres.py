"""Depth becomes metres here: the canonical camera's depth times a factor from the focal length."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from metric3d_ros.model_contract import CANONICAL_FOCAL_PX

Focal = TypeVar("Focal", float, npt.NDArray[np.float64])


def metres_per_canonical_metre(focal_px: Focal) -> Focal:
    """Return the factor from the depth of the canonical camera to metres.

    The networks see every image as if a camera with a focal length of 1000 px had taken it. An object of the same size
    in the image is as much farther away as the true focal length is longer: depth = canonical depth * f / 1000 px
    (Yin et al., "Metric3D", ICCV 2023, section 3.2, the transformation of labels, inverted).

    Both dialects of model files scale by it: the files of `metric3d export` within their graph, where PyTorch traces
    this function; the published files afterwards, in `published_dialects`.

    Args:
        focal_px: of the image that the network sees, after resizing; a number, an array, or a PyTorch tensor.
    """
    return focal_px / CANONICAL_FOCAL_PX
