"""Bags of a few small camera images, made with `rosbags`."""

from pathlib import Path

import numpy as np
from rosbags.interfaces import Qos
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from metric3d_ros.recordings.bags.writer import output_qos

WIDTH, HEIGHT, FX = 64, 48, 60.0
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
DELAY_NS = 7_000_000
"""From a message's stamp to its reception."""


def picture(number):
    """Return the number-th image (H, W, 3)."""
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def stamps(count):
    """Return the stamps of so many images, nanoseconds."""
    return [START_NS + i * PERIOD_NS for i in range(count)]


def messages(store, stamp_ns, rgb, *, ros1=False, frame_id="camera_optical_frame"):
    """Return an Image and its CameraInfo."""
    types = store.types
    sequence = {"seq": 0} if ros1 else {}
    time = types["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    header = types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id, **sequence)
    height, width = rgb.shape[:2]
    image = types["sensor_msgs/msg/Image"](
        header=header,
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(rgb).reshape(-1),
    )
    k = np.array([FX, 0, width / 2 - 2, 0, FX + 1, height / 2 + 1, 0, 0, 1.0])
    matrices = {"d": np.zeros(5), "k": k, "r": np.eye(3).ravel(), "p": np.insert(k, [3, 6, 9], 0.0)}
    info = types["sensor_msgs/msg/CameraInfo"](
        header=header,
        height=height,
        width=width,
        distortion_model="plumb_bob",
        binning_x=0,
        binning_y=0,
        roi=types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
        **{(name.upper() if ros1 else name): value for name, value in matrices.items()},
    )
    return image, info


def write_ros2(
    path: Path,
    count=6,
    *,
    storage=StoragePlugin.MCAP,
    compression=None,
    cameras=("/camera",),
    with_info=True,
    with_static=False,
    distro=Stores.ROS2_JAZZY,
    stamps_ns=None,
    picture_of=picture,
):
    """Write a rosbag2 of `count` images of each camera, on CAMERA/image_raw and CAMERA/camera_info.

    `picture_of`: returns the image (H, W, 3) of a number, on from 100 for the second camera.
    """
    store = get_typestore(distro)
    writer = Writer(path, version=9, storage_plugin=storage)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        topics = {}
        for camera in cameras:
            for name, kind in (("image_raw", "Image"), ("camera_info", "CameraInfo")):
                if name == "image_raw" or with_info:
                    topics[camera, name] = writer.add_connection(
                        f"{camera}/{name}", f"sensor_msgs/msg/{kind}", typestore=store
                    )
        if with_static:
            kind = "tf2_msgs/msg/TFMessage"
            latched: Qos = output_qos(latched=True)
            static = writer.add_connection("/tf_static", kind, typestore=store, offered_qos_profiles=[latched])
            message = store.types[kind](transforms=[])
            writer.write(static, START_NS - 5 * 10**9, store.serialize_cdr(message, kind))
        for number, stamp_ns in enumerate(stamps_ns or stamps(count)):
            for place, camera in enumerate(cameras):
                rgb = picture_of(number + 100 * place)
                image, info = messages(store, stamp_ns, rgb, frame_id=f"{camera[1:]}_frame")
                received_ns = stamps(count)[number] + DELAY_NS + place
                for name, message, kind in (("camera_info", info, "CameraInfo"), ("image_raw", image, "Image")):
                    if (camera, name) in topics:
                        data = store.serialize_cdr(message, f"sensor_msgs/msg/{kind}")
                        writer.write(topics[camera, name], received_ns, data)
    return path


def write_ros1(path: Path, count=6):
    """Write a ROS 1 bag of `count` images."""
    store = get_typestore(Stores.ROS1_NOETIC)
    with Writer1(path) as writer:
        image_topic = writer.add_connection("/camera/image_raw", "sensor_msgs/msg/Image", typestore=store)
        info_topic = writer.add_connection("/camera/camera_info", "sensor_msgs/msg/CameraInfo", typestore=store)
        for number, stamp_ns in enumerate(stamps(count)):
            image, info = messages(store, stamp_ns, picture(number), ros1=True)
            for topic, message in ((info_topic, info), (image_topic, image)):
                data = store.serialize_ros1(message, message.__msgtype__)
                writer.write(topic, stamp_ns + DELAY_NS, data)
    return path


__all__ = ["CompressionMode", "StoragePlugin", "write_ros1", "write_ros2"]
