"""The message classes that tests convert to: plain stand-ins everywhere, and ROS's own where they are installed."""

import array
import dataclasses
import os
from types import SimpleNamespace
from typing import Any

import pytest

from metric3d_ros.messages.encodings import find_encoding

os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")


def _stand_in(name: str, /, **defaults: Any) -> type:
    fields = [(key, Any, dataclasses.field(default_factory=lambda v=value: v)) for key, value in defaults.items()]
    return dataclasses.make_dataclass(name, fields, kw_only=True)


PLAIN = SimpleNamespace(
    Image=_stand_in("Image", header=None, height=0, width=0, encoding="", is_bigendian=0, step=0, data=b""),
    CompressedImage=_stand_in("CompressedImage", header=None, format="", data=b""),
    PointField=_stand_in("PointField", name="", offset=0, datatype=0, count=0),
    PointCloud2=_stand_in(
        "PointCloud2",
        header=None,
        height=0,
        width=0,
        fields=(),
        is_bigendian=False,
        point_step=0,
        row_step=0,
        data=b"",
        is_dense=False,
    ),
    CameraInfo=_stand_in(
        "CameraInfo",
        header=None,
        height=0,
        width=0,
        distortion_model="",
        d=(),
        k=(),
        r=(),
        p=(),
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, height=0, width=0),
    ),
    LaserScan=_stand_in(
        "LaserScan",
        header=None,
        angle_min=0.0,
        angle_max=0.0,
        angle_increment=0.0,
        time_increment=0.0,
        scan_time=0.0,
        range_min=0.0,
        range_max=0.0,
        ranges=(),
        intensities=(),
    ),
)

try:
    import sensor_msgs.msg as ROS
    import std_msgs.msg
except ImportError:
    ROS = None  # type: ignore[assignment]

needs_ros = pytest.mark.skipif(ROS is None, reason="ROS's message classes (sensor_msgs) are not installed")

BOTH = [pytest.param(PLAIN, id="plain"), pytest.param(ROS, id="ros", marks=needs_ros)]


def header_of(messages: Any) -> Any:
    """Return a header for a message of these classes."""
    if messages is PLAIN:
        return SimpleNamespace(stamp=None, frame_id="camera_optical_frame")
    header = std_msgs.msg.Header(frame_id="camera_optical_frame")
    header.stamp.sec, header.stamp.nanosec = 12, 345
    return header


def over_the_wire(message: Any) -> Any:
    """Check every field's type as ROS does when asked to, serialise, and return what a subscriber would get."""
    if not hasattr(message, "get_fields_and_field_types"):
        return message
    from rclpy.serialization import deserialize_message, serialize_message

    for each in [message, *getattr(message, "fields", [])]:
        each._check_fields = True
        for field in each.get_fields_and_field_types():
            setattr(each, field, getattr(each, field))
    return deserialize_message(serialize_message(message), type(message))


def bytes_of(data: Any) -> bytes:
    """Return a message's data field as bytes."""
    return data.tobytes() if isinstance(data, array.array) else bytes(data)


def plain_image(
    encoding: str, height: int, width: int, data: Any, *, step: int | None = None, is_bigendian: int = 0
) -> Any:
    """Return an Image of the plain stand-ins; `step` is that of packed rows if it is None."""
    encoded = find_encoding(encoding)
    return PLAIN.Image(
        height=height,
        width=width,
        encoding=encoding,
        step=encoded.row_bytes(width) if step is None else step,
        is_bigendian=is_bigendian,
        data=bytes(data),
    )
