"""The message classes of sensor_msgs.msg as plain records, for the functions that build messages without ROS.

Their arrays are NumPy views, so nothing is copied on the way into a bag.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass
class Time:
    """builtin_interfaces/Time."""

    sec: int = 0
    nanosec: int = 0

    @classmethod
    def from_ns(cls, stamp_ns: int) -> "Time":
        """Return the stamp of so many nanoseconds."""
        return cls(stamp_ns // 1_000_000_000, stamp_ns % 1_000_000_000)


@dataclasses.dataclass
class Header:
    """std_msgs/Header."""

    stamp: Time = dataclasses.field(default_factory=Time)
    frame_id: str = ""


class _WithData:
    """A message whose `data` is any buffer of bytes, and comes back as (N,) uint8."""

    _data: Any = b""

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self._data, np.uint8)

    @data.setter
    def data(self, value: Any) -> None:
        self._data = value


class Image(_WithData):
    """sensor_msgs/Image."""

    def __init__(
        self,
        *,
        header: Any = None,
        height: int = 0,
        width: int = 0,
        encoding: str = "",
        is_bigendian: int = 0,
        step: int = 0,
        data: Any = b"",
    ) -> None:
        self.header, self.height, self.width, self.encoding = header, height, width, encoding
        self.is_bigendian, self.step, self.data = is_bigendian, step, data


class CompressedImage(_WithData):
    """sensor_msgs/CompressedImage."""

    def __init__(self, *, header: Any = None, format: str = "", data: Any = b"") -> None:
        self.header, self.format, self.data = header, format, data


@dataclasses.dataclass
class PointField:
    """sensor_msgs/PointField."""

    name: str = ""
    offset: int = 0
    datatype: int = 0
    count: int = 0


class PointCloud2(_WithData):
    """sensor_msgs/PointCloud2."""

    def __init__(
        self,
        *,
        header: Any = None,
        height: int = 0,
        width: int = 0,
        fields: Any = (),
        is_bigendian: bool = False,
        point_step: int = 0,
        row_step: int = 0,
        data: Any = b"",
        is_dense: bool = False,
    ) -> None:
        self.header, self.height, self.width, self.fields = header, height, width, fields
        self.is_bigendian, self.point_step, self.row_step = is_bigendian, point_step, row_step
        self.data, self.is_dense = data, is_dense


@dataclasses.dataclass
class RegionOfInterest:
    """sensor_msgs/RegionOfInterest."""

    x_offset: int = 0
    y_offset: int = 0
    height: int = 0
    width: int = 0
    do_rectify: bool = False


@dataclasses.dataclass(kw_only=True)
class CameraInfo:
    """sensor_msgs/CameraInfo."""

    header: Any = None
    height: int = 0
    width: int = 0
    distortion_model: str = ""
    d: Any = ()
    k: Any = ()
    r: Any = ()
    p: Any = ()
    binning_x: int = 0
    binning_y: int = 0
    roi: Any = dataclasses.field(default_factory=RegionOfInterest)


@dataclasses.dataclass(kw_only=True)
class LaserScan:
    """sensor_msgs/LaserScan."""

    header: Any = None
    angle_min: float = 0.0
    angle_max: float = 0.0
    angle_increment: float = 0.0
    time_increment: float = 0.0
    scan_time: float = 0.0
    range_min: float = 0.0
    range_max: float = 0.0
    ranges: Any = ()
    intensities: Any = ()


_ARRAYS = {"d": np.float64, "k": np.float64, "r": np.float64, "p": np.float64, "ranges": np.float32}
_ARRAYS["intensities"] = np.float32


def with_arrays(message: Any) -> Any:
    """Turn the lists of numbers of a message into the arrays that `rosbags` serialises; return the message."""
    for name, kind in _ARRAYS.items():
        if hasattr(message, name):
            setattr(message, name, np.asarray(getattr(message, name), kind))
    return message


def camera_info_of(message: Any) -> CameraInfo:
    """Return a bag's CameraInfo of ROS 1 (D, K, R, P) or ROS 2 (d, k, r, p) as one of this module."""
    roi = message.roi
    region = RegionOfInterest(
        int(roi.x_offset), int(roi.y_offset), int(roi.height), int(roi.width), bool(roi.do_rectify)
    )
    matrices = {
        name: np.array(getattr(message, name) if hasattr(message, name) else getattr(message, name.upper()), np.float64)
        for name in "dkrp"
    }
    return CameraInfo(
        header=header_of(message),
        height=int(message.height),
        width=int(message.width),
        distortion_model=str(message.distortion_model),
        binning_x=int(message.binning_x),
        binning_y=int(message.binning_y),
        roi=region,
        **matrices,
    )


def header_of(message: Any) -> Header:
    """Return a bag message's header as one of this module; `seq` of ROS 1 is dropped."""
    stamp = message.header.stamp
    return Header(Time(int(stamp.sec), int(stamp.nanosec)), str(message.header.frame_id))
