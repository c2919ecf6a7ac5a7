"""Images as they come from a camera, raw or compressed, behind one face; decoded only when somebody works on them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.messages import compressed_to_rgb, image_to_rgb
from metric3d_ros.messages.buffers import view_bytes
from metric3d_ros.messages.compressed import check_format, read_picture_size
from metric3d_ros.messages.sixteen_bits import ToEightBit

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

    def to_rgb(self, *, max_pixels: int, to_8_bit: ToEightBit) -> Rgb:
        """Return (H, W, 3) RGB; MessageError where the message cannot be read or has more pixels than that."""
        return self.decode(self.message, max_pixels=max_pixels, to_8_bit=to_8_bit)


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
    """Take a sensor_msgs/CompressedImage; MessageError where it is no picture or its size cannot be read."""
    check_format(message)
    height, width = read_picture_size(view_bytes(message.data, what="the compressed image"))
    return CameraImage(header=message.header, height=height, width=width, message=message, decode=compressed_to_rgb)
