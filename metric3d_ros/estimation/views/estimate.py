"""Estimate: a network's outputs for one image, and what is needed to interpret them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Estimate:
    """The network's outputs for one image, at the image's own resolution.

    Attributes:
        depth_m: float32 (H, W), metres along the optical axis (z), or along the rays if `camera.along_rays`, NaN where
            invalid.
        confidence: float32 (H, W), expected accuracy, 0 to 1, 0 where depth is invalid; None if not requested or
            not in the model.
        normals: float32 (H, W, 3), unit vectors in the optical frame that face the camera, NaN where invalid; None
            if not requested or not in the model.
        camera: the image's camera; measured along rays if its lens was split into several views.
        inference_size_hw: (height, width) of the image that the network saw, before padding.
        timings_ms: milliseconds by stage: "prepare", "infer", "finish".
    """

    depth_m: Float32Array
    confidence: Float32Array | None
    normals: Float32Array | None
    camera: Camera
    inference_size_hw: tuple[int, int]
    timings_ms: dict[str, float]
