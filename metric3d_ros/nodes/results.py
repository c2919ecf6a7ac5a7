"""One image with what the network says of it; what several outputs share is computed once, and only if asked for."""

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.estimator import Estimate
from metric3d_ros.geometry import filter_depth, normals_from_depth
from metric3d_ros.nodes.parameters import DepthParameters

Float32Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """All that outputs are made from."""

    header: Any
    """The image's own header: every output carries its stamp."""
    rgb: npt.NDArray[np.uint8]
    """(H, W, 3)."""
    camera: Camera
    camera_info: Any
    """The image's CameraInfo message; None where the camera comes from parameters."""
    estimate: Estimate | None
    """None when no output that is wanted needs one."""
    parameters: DepthParameters

    @cached_property
    def far_depth_m(self) -> Float32Array:
        """(H, W) metres, NaN where the limits of `depth.*` do not trust them; beyond `depth.max_m` as it is."""
        estimate, limits = self._estimate, self.parameters.depth
        if not (limits.min_m or limits.min_confidence or limits.max_jump):
            return estimate.depth_m
        return filter_depth(
            estimate.depth_m,
            min_depth_m=limits.min_m,
            confidence=estimate.confidence,
            min_confidence=limits.min_confidence,
            max_jump=limits.max_jump or None,
        )

    @cached_property
    def depth_m(self) -> Float32Array:
        """(H, W) metres, NaN where the limits of `depth.*` do not trust them, `depth.max_m` included."""
        limits = self.parameters.depth
        if not limits.max_m:
            return self.far_depth_m
        return filter_depth(self.far_depth_m, max_depth_m=limits.max_depth_m)

    @cached_property
    def cloud_depth_m(self) -> Float32Array:
        """(H, W) metres, NaN where `depth.*` or `points.*` leave them out."""
        limits = self.parameters.points
        if not (limits.max_m or limits.min_confidence or limits.max_jump):
            return self.depth_m
        return filter_depth(
            self.depth_m,
            max_depth_m=limits.max_m or float("inf"),
            confidence=self._estimate.confidence,
            min_confidence=limits.min_confidence,
            max_jump=limits.max_jump or None,
        )

    @cached_property
    def normals(self) -> Float32Array:
        """(H, W, 3) unit vectors that face the camera; from depth where the network has none."""
        estimate = self._estimate
        if estimate.normals is not None:
            return estimate.normals
        return normals_from_depth(estimate.depth_m, self.camera)

    @property
    def confidence(self) -> Float32Array | None:
        """(H, W), about 0 to 1; None where the model gives none."""
        return self._estimate.confidence

    @property
    def _estimate(self) -> Estimate:
        assert self.estimate is not None, "an output that uses an estimate must say so in `needs`"
        return self.estimate
