"""Bytes are shared with ROS's own messages and copied into others; either way the message says the same."""

import numpy as np
import pytest
from message_classes import BOTH, PLAIN, ROS, bytes_of, header_of, needs_ros, over_the_wire

from metric3d_ros.messages import NewCloud, array_to_image, points_to_cloud
from metric3d_ros.messages.buffers import share_bytes


def picture():
    return np.arange(2 * 3 * 3, dtype=np.float32).reshape(2, 3, 3)


@needs_ros
def test_a_message_of_ros_shares_the_memory_of_its_array():
    array = picture()
    message = array_to_image(array, "32FC3", header=header_of(ROS), sensor_msgs=ROS)
    assert np.shares_memory(np.frombuffer(message.data, np.uint8), array)
    assert bytes_of(over_the_wire(message).data) == array.tobytes()


@needs_ros
def test_messages_that_share_memory_can_be_compared():
    one, other = (array_to_image(picture(), "32FC3", header=header_of(ROS), sensor_msgs=ROS) for _ in range(2))
    assert one == other
    assert one == over_the_wire(other)
    np.frombuffer(memoryview(other.data).obj, np.uint8)[5] ^= 1
    assert one != other


@pytest.mark.parametrize("messages", BOTH)
def test_an_array_whose_bytes_are_not_those_of_the_message_is_copied(messages):
    array = picture()
    message = array_to_image(array[:, ::-1], "32FC3", header=header_of(messages), sensor_msgs=messages)
    assert not np.shares_memory(np.frombuffer(message.data, np.uint8), array)
    assert bytes_of(message.data) == array[:, ::-1].tobytes()
    big = array_to_image(array, "32FC3", header=header_of(messages), sensor_msgs=messages, is_bigendian=True)
    assert bytes_of(big.data) == array.astype(">f4").tobytes()


def test_other_classes_get_a_copy():
    array, message = picture(), PLAIN.Image()
    share_bytes(message, array)
    array[...] = 0
    assert bytes_of(message.data) == picture().tobytes()


@pytest.mark.parametrize("messages", BOTH)
@pytest.mark.parametrize("with_rgb", [True, False])
@pytest.mark.parametrize("with_normals", [True, False])
def test_a_cloud_written_field_by_field_is_the_cloud_of_its_arrays(messages, with_rgb, with_normals):
    rng = np.random.default_rng(0)
    points, normals = rng.random((2, 300, 7, 3), dtype=np.float32)
    rgb = rng.integers(0, 256, (300, 7, 3), dtype=np.uint8)
    arrays = {"rgb": rgb if with_rgb else None, "normals": normals if with_normals else None}
    cloud = NewCloud(300, 7, with_rgb=with_rgb, with_normals=with_normals)
    cloud.points[...] = points
    for rows in cloud.row_slices():
        cloud.fill(rows, **arrays)
    header = header_of(messages)
    expected = points_to_cloud(points, header=header, sensor_msgs=messages, **arrays)
    assert cloud.to_message(header=header, sensor_msgs=messages) == expected
