"""What goes straight through rcl arrives exactly as what rclpy publishes."""

import gc
import weakref

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
from rclpy.serialization import serialize_message
from ros_process import TestBench, next_domain
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from metric3d_ros.messages import array_to_image, points_to_cloud
from metric3d_ros.nodes.ros import publish_without_copy as module
from metric3d_ros.nodes.ros.message_structs import message_to_struct, struct_type
from metric3d_ros.nodes.ros.publish_without_copy import publish_without_copy


@pytest.fixture(scope="module")
def bench():
    bench = TestBench(next_domain())
    yield bench
    bench.close()


def header(sec=7):
    header = Header(frame_id="caméra_optical_frame")
    header.stamp.sec, header.stamp.nanosec = sec, 999_999_999
    return header


def image():
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return array_to_image(pixels, "rgb8", header=header(), sensor_msgs=sensor_msgs.msg)


def cloud():
    points, normals = np.random.default_rng(0).random((2, 120, 160, 3), dtype=np.float32)
    points[3, 4] = np.nan
    rgb = np.full(points.shape, 200, np.uint8)
    return points_to_cloud(points, header=header(), sensor_msgs=sensor_msgs.msg, rgb=rgb, normals=normals)


def dense_cloud():
    return points_to_cloud(np.ones((5, 3), np.float32), header=header(), sensor_msgs=sensor_msgs.msg)


def big_endian_depth():
    metres = np.random.default_rng(0).random((30, 40), dtype=np.float32)
    return array_to_image(metres, "32FC1", header=header(), sensor_msgs=sensor_msgs.msg, is_bigendian=True)


def empty():
    return Image(header=Header())


MESSAGES = [image, cloud, dense_cloud, big_endian_depth, empty]


@pytest.mark.parametrize("make", MESSAGES)
def test_message_arrives_as_it_was(bench, make, request):
    message = make()
    topic = f"as_it_was_{request.node.callspec.id}"
    heard = bench.listen(type(message), topic)
    publisher = bench.advertise(type(message), topic)
    publish = publish_without_copy(publisher, type(message))
    assert publish != publisher.publish, "this installation has no direct way, so nothing was tested"
    assert bench.spin_until(publisher.get_subscription_count)
    publish(message)
    publisher.publish(message)
    assert bench.spin_until(lambda: len(heard) == 2)
    assert heard[0] == message
    assert heard[1] == message
    assert len(serialize_message(heard[0])) == len(serialize_message(heard[1]))


def test_memory_of_a_message_that_went_out_is_released(bench):
    publisher = bench.advertise(Image, "pile")
    publish = publish_without_copy(publisher, Image)
    array = np.zeros((100, 100), np.uint8)
    memory = weakref.ref(array)
    publish(array_to_image(array, "mono8", header=header(), sensor_msgs=sensor_msgs.msg))
    del array
    gc.collect()
    assert memory() is None


@pytest.mark.parametrize("message_type", [CameraInfo, LaserScan])
def test_messages_without_bytes_are_published_as_rclpy_does(bench, message_type):
    publisher = bench.advertise(message_type, f"plain_{message_type.__name__}")
    assert publish_without_copy(publisher, message_type) == publisher.publish


def test_without_rcl_everything_is_published_as_rclpy_does(bench, monkeypatch):
    monkeypatch.setattr(module, "_load_rcl", lambda: None)
    publisher = bench.advertise(Image, "no_rcl")
    assert publish_without_copy(publisher, Image) == publisher.publish


def test_rclpy_says_what_is_wrong_where_rcl_refuses(monkeypatch):
    told = []

    class Publisher:
        handle = type("Handle", (), {"pointer": 1, "__enter__": lambda s: None, "__exit__": lambda s, *_: None})()

        def publish(self, message):
            told.append(message)

    monkeypatch.setattr(module, "_load_rcl", lambda: (lambda *_: 300, lambda: told.append("reset")))
    message = image()
    publish_without_copy(Publisher(), Image)(message)
    assert told[0] == "reset"
    assert told[1] is message


def test_messages_are_laid_out_as_rosidl_does():
    # By hand from sensor_msgs' image__struct.h and point_cloud2__struct.h, on a machine of 64 bits.
    offsets = {name: getattr(struct_type(Image), name).offset for name, *_ in struct_type(Image)._fields_}
    assert offsets == {
        "header": 0,
        "height": 32,
        "width": 36,
        "encoding": 40,
        "is_bigendian": 64,
        "step": 68,
        "data": 72,
    }
    offsets = {name: getattr(struct_type(PointCloud2), name).offset for name, *_ in struct_type(PointCloud2)._fields_}
    assert offsets["fields"] == 40
    assert (offsets["is_bigendian"], offsets["point_step"], offsets["row_step"]) == (64, 68, 72)
    assert (offsets["data"], offsets["is_dense"]) == (80, 104)


def test_a_message_that_cannot_be_laid_out_is_a_type_error():
    with pytest.raises(TypeError, match=r"double|float"):
        message_to_struct(CameraInfo())
