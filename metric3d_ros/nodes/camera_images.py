"""Images as they come from a camera, raw or compressed, behind one face; decoded only when somebody works on them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import MessageError
from metric3d_ros.messages import compressed_to_rgb, image_to_rgb
from metric3d_ros.messages.buffers import view_bytes
from metric3d_ros.messages.compressed import read_picture_size

Rgb = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CameraImage:
    """An image message with what is known of it before its pixels are looked at."""

    header: Any
    height: int
    """As the message says; nothing has been checked."""
    width: int
    message: Any
    decode: Callable[..., Rgb]

    def to_rgb(self, *, max_pixels: int) -> Rgb:
        """Return (H, W, 3) RGB; MessageError where the message cannot be read or has more pixels than that."""
        return self.decode(self.message, max_pixels=max_pixels)


def from_image(message: Any) -> CameraImage:
    """Take a sensor_msgs/Image."""
    return CameraImage(
        header=message.header,
        height=int(message.height),
        width=int(message.width),
        message=message,
        decode=image_to_rgb,
    )


def from_compressed(message: Any) -> CameraImage:
    """Take a sensor_msgs/CompressedImage; MessageError where it has no header that states its size."""
    if "compressedDepth" in str(message.format):
        raise MessageError(
            f"the compressed image's format is {str(message.format)[:60]!r}, which is depth: subscribe to the "
            "camera's pictures"
        )
    height, width = read_picture_size(view_bytes(message.data, what="the compressed image"))
    return CameraImage(header=message.header, height=height, width=width, message=message, decode=compressed_to_rgb)
