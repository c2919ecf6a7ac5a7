"""Sample: one image with everything that is known of it, from wherever it came."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera


@dataclass(frozen=True)
class Sample:
    """An image with known depth.

    Attributes:
        name: what the tables call it; unique within its source.
        group: images of one group are summarised together (one camera, one kind of scene).
        rgb: uint8 (H, W, 3).
        camera: the image's camera.
        true_depth_m: float32 (H, W), metres along the optical axis, NaN where not known.
        true_normals: float32 (H, W, 3), unit, optical frame, NaN where not known; None when there are none.
        max_depth_m: pixels that are truly farther are not compared.
        world_from_camera: (4, 4) float64, the pose of the camera's optical frame, metres; None if it is not known.
    """

    name: str
    group: str
    rgb: npt.NDArray[np.uint8]
    camera: Camera
    true_depth_m: npt.NDArray[np.float32]
    true_normals: npt.NDArray[np.float32] | None
    max_depth_m: float = math.inf
    world_from_camera: npt.NDArray[np.float64] | None = None


class SampleSource(Protocol):
    """An iterable of samples, one at a time, with a length."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sample]: ...
