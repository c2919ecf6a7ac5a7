"""Frame: one image on its way from a camera's topic to the outputs' topics. Each stage returns it with what it adds."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import Calibration
from metric3d_ros.codecs.sixteen_bits import ToEightBit

Rgb = npt.NDArray[np.uint8]


class PairedBy(Enum):
    """Why a camera_info was taken for an image; the value is what /diagnostics shows."""

    STAMP = "stamp"
    STAMP_ALONE = "stamp, with another frame_id"
    NEAREST_STAMP = "nearest stamp"
    LAST = "frame_id and size"
    SIZE_ALONE = "size and topic alone"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """An image message with everything that is known about it so far."""

    # As the image comes in. Nothing has been checked or decoded.
    header: Any
    height: int
    width: int
    message: Any
    """sensor_msgs/Image or sensor_msgs/CompressedImage."""
    decode: Callable[..., Rgb]
    """Decodes the message: see `to_rgb`."""
    image_topic: str = ""
    """In full, after remapping."""
    has_our_stamp: bool = True
    """The stamp is of this node's clock, so that the image has an age."""
    calibration: Calibration | None = None
    """The file that describes the camera in place of camera_info."""

    # Once it is complete: an image and what describes its camera.
    camera_info: Any = None
    """The CameraInfo message; None if a file or parameters describe the camera."""
    paired_by: PairedBy | None = None
    """How camera_info was found."""
    complete_s: float = 0.0
    """When, on Python's monotonic clock."""

    # Once it is taken and decoded.
    wanted: tuple[str, ...] = ()
    """The outputs that have a subscriber, by their topics."""
    for_snapshot: bool = False
    """Whether somebody waits for a snapshot."""
    pixels: Rgb | None = None
    """See `rgb`."""
    described: Camera | None = None
    """See `camera`."""
    seen: npt.NDArray[np.bool_] | None = None
    """(H, W), which pixels of a rectified image the camera sees; None for all."""
    times_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Milliseconds by stage."""

    def complete(self, camera_info: Any = None, paired_by: PairedBy | None = None) -> "Frame":
        """Return the frame with what describes its camera; without arguments, a file or parameters do."""
        return self._with(camera_info=camera_info, paired_by=paired_by, complete_s=time.monotonic())

    def taken(self, *, wanted: tuple[str, ...], for_snapshot: bool, times_ms: Mapping[str, float]) -> "Frame":
        """Return the frame with what is wanted of it."""
        return self._with(wanted=wanted, for_snapshot=for_snapshot, times_ms={**self.times_ms, **times_ms})

    def decoded(self, rgb: Rgb, camera: Camera, *, times_ms: Mapping[str, float]) -> "Frame":
        """Return the frame with its pixels and its camera."""
        return self._with(pixels=rgb, described=camera, times_ms={**self.times_ms, **times_ms})

    def timed(self, times_ms: Mapping[str, float]) -> "Frame":
        """Return the frame with the times of more stages."""
        return self._with(times_ms={**self.times_ms, **times_ms})

    def rectified(self, rgb: Rgb, camera: Camera, seen: npt.NDArray[np.bool_]) -> "Frame":
        """Return the frame with its image and camera replaced by the rectified (pinhole) ones."""
        return self._with(pixels=rgb, described=camera, camera_info=None, seen=seen)

    def _with(self, **added: Any) -> "Frame":
        # As dataclasses.replace does, in a sixth of its time for as many fields.
        frame = object.__new__(Frame)
        frame.__dict__.update(self.__dict__, **added)
        return frame

    def to_rgb(self, *, max_pixels: int, to_8_bit: ToEightBit) -> Rgb:
        """Return (H, W, 3) RGB; MessageError if the message cannot be read or has more than `max_pixels`."""
        return self.decode(self.message, max_pixels=max_pixels, to_8_bit=to_8_bit)

    @property
    def rgb(self) -> Rgb:
        """(H, W, 3), the decoded image."""
        assert self.pixels is not None, "the frame is decoded"
        return self.pixels

    @property
    def camera(self) -> Camera:
        """The camera of the decoded image."""
        assert self.described is not None, "the frame is decoded"
        return self.described

    @property
    def description(self) -> Any:
        """What describes the camera, in the fields of CameraInfo; None if a few numbers do."""
        return self.calibration if self.camera_info is None else self.camera_info

    @property
    def image_hw(self) -> tuple[int, int]:
        """(height, width) of the decoded image."""
        return self.rgb.shape[0], self.rgb.shape[1]
