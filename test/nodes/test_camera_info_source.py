"""camera_info that is not labelled as its images are: used where it can only be theirs, refused where it may not be."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
import tiny_models
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from metric3d_ros.messages import array_to_image, image_to_depth

WIDTH, HEIGHT, LEVEL = 64, 48, 100
METRES_AT_1000_PX = LEVEL * tiny_models.METRES_PER_LEVEL
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Robot:
    """A domain with a depth_node in it, and what cameras publish there."""

    def __init__(self, bench, process, image_topic):
        self.bench, self.process = bench, process
        self.images = bench.advertise(Image, image_topic)
        self.depth = bench.listen(Image, "/depth/image")
        self.reports = bench.listen(DiagnosticArray, "/diagnostics")
        self.shown = []
        self.number = 0

    def connect(self, *publishers):
        """Wait until the node hears everything that is published for it, and is heard."""
        everything = [self.images, *publishers]
        assert self.bench.spin_until(lambda: all(each.get_subscription_count() for each in everything))
        assert self.bench.spin_until(lambda: self.bench.node.count_publishers("/depth/image"))
        self.bench.spin_for(0.5)

    def show(self, *, frame, stamp_ns=None):
        self.number += 1
        stamp_ns = 1_000_000_000_000 + self.number * 100_000_000 if stamp_ns is None else stamp_ns
        header = header_of(frame, stamp_ns)
        pixels = np.full((HEIGHT, WIDTH, 3), LEVEL, np.uint8)
        self.images.publish(array_to_image(pixels, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))
        self.shown.append(stamp_ns)
        return stamp_ns

    def show_and_wait(self, *, frame):
        """Show an image, which may not be replaced by the next one on a busy machine, and wait for its depth."""
        stamp_ns = self.show(frame=frame)
        assert self.bench.spin_until(lambda: stamp_ns in self.metres()), f"{len(self.depth)} came: {self.state()}"

    def metres(self):
        """Return depth by stamp."""
        return {
            message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec: float(
                image_to_depth(message)[0, 0]
            )
            for message in self.depth
        }

    def state(self):
        found = [each for report in self.reports[-1:] for each in report.status if each.name.endswith("camera")]
        return found[0].message if found else ""

    def values(self):
        found = [each for report in self.reports[-1:] for each in report.status if each.name.endswith("camera")]
        return {pair.key: pair.value for each in found for pair in each.values}


def header_of(frame, stamp_ns):
    header = Header(frame_id=frame)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return header


def camera_info(frame, stamp_ns, *, focal_px=500.0, width=WIDTH, height=HEIGHT):
    k = np.array([focal_px, 0.0, width / 2, 0.0, focal_px, height / 2, 0.0, 0.0, 1.0])
    return CameraInfo(header=header_of(frame, stamp_ns), width=width, height=height, k=k)


@pytest.fixture
def robot(tmp_path, model):
    """Return a function that starts depth_node on an image topic."""
    opened = []

    def start(image_topic, *more):
        domain = next_domain()
        arguments = [*parameters(model=model), "-r", f"image:={image_topic}", *more]
        node = running_node("depth_node", *arguments, environment=ros_environment(tmp_path, domain))
        process = node.__enter__()
        opened.append((node, bench := TestBench(domain)))
        process.wait_for("ready")
        return Robot(bench, process, image_topic)

    yield start
    for node, bench in opened:
        bench.close()
        node.__exit__(None, None, None)


@pytest.mark.parametrize("apart_ns", [1, 10_000_000, -10_000_000, 70_000_000])
@pytest.mark.parametrize("frames", [("Cam1/Scene_optical", ""), ("camera_color_optical_frame", "camera")])
def test_every_image_of_a_mislabelled_camera_is_used_and_it_is_told_once(robot, frames, apart_ns):
    cam = robot("/Cam1/image", "-r", "camera_info:=/Cam1/camera_info")
    infos = cam.bench.advertise(CameraInfo, "/Cam1/camera_info")
    cam.connect(infos)
    for _ in range(20):
        stamp_ns = 1_000_000_000_000 + (cam.number + 1) * 100_000_000
        infos.publish(camera_info(frames[1], stamp_ns + apart_ns))
        cam.show_and_wait(frame=frames[0])
    assert set(cam.metres().values()) == {0.5 * METRES_AT_1000_PX}
    lines = [line for line in cam.process.lines if "used all the same" in line]
    assert len(lines) == 1
    assert f"is of frame_id '{frames[1]}', the images of '{frames[0]}'" in lines[0]
    assert cam.bench.spin_until(lambda: cam.values().get("camera_info found by") == "size and topic alone")
    assert not [line for line in cam.process.lines if "remap camera_info" in line]


def test_mislabelled_camera_info_of_another_size_is_not_told_to_have_the_images_size(robot):
    cam = robot("/image", "-p", "camera_info_scaling:=scale")
    infos = cam.bench.advertise(CameraInfo, "/camera_info")
    cam.connect(infos)
    infos.publish(camera_info("base", 5_000_000_000, width=2 * WIDTH, height=2 * HEIGHT))
    cam.bench.spin_for(0.5)
    cam.show_and_wait(frame="eye")
    assert set(cam.metres().values()) == {0.25 * METRES_AT_1000_PX}
    assert "used all the same, since it has no other publisher" in cam.process.wait_for("used all the same")


def test_nearest_stamp_of_the_own_frame_is_used(robot):
    cam = robot("/image")
    infos = cam.bench.advertise(CameraInfo, "/camera_info")
    cam.connect(infos)
    for number in range(10):
        stamp_ns = 1_000_000_000_000 + (cam.number + 1) * 100_000_000
        # A zoom lens: each image has a focal length of its own, and the camera_info after it comes first.
        infos.publish(camera_info("eye", stamp_ns + 10_000_000, focal_px=500.0 + number))
        infos.publish(camera_info("eye", stamp_ns + 50_000_000, focal_px=1.0))
        cam.bench.spin_for(0.05)
        cam.show_and_wait(frame="eye")
    wanted = {stamp: pytest.approx((0.5 + number / 1000) * METRES_AT_1000_PX) for number, stamp in enumerate(cam.shown)}
    assert cam.metres() == wanted
    assert "using the nearest within camera_info_tolerance_s (0.02 s)" in cam.process.wait_for("has the image's stamp")


def test_mislabelled_latched_camera_info_is_used(robot):
    cam = robot("/cam/image_raw", "-r", "camera_info:=/cam/camera_info")
    infos = cam.bench.advertise(CameraInfo, "/cam/camera_info", LATCHED)
    infos.publish(camera_info("base", 5_000_000_000))
    cam.connect(infos)

    def came():
        cam.show(frame="eye")
        cam.bench.spin_for(0.1)
        return bool(cam.depth)

    assert cam.bench.spin_until(came)
    assert set(cam.metres().values()) == {0.5 * METRES_AT_1000_PX}


def refuse(cam, show, text):
    """Show images until the state tells `text`; nothing may have been published."""

    def told():
        show()
        cam.bench.spin_for(0.1)
        return text in cam.state()

    assert cam.bench.spin_until(told, timeout_s=30), cam.state()
    assert "waiting for camera_info: no camera_info fits the image (frame_id " in cam.state()
    assert not cam.depth
    assert "[WARN]" in cam.process.wait_for(text)


def test_two_publishers_without_labels_are_not_guessed_between(robot):
    cam = robot("/cam/image_raw", "-r", "camera_info:=/cam/camera_info")
    other = Node("other_driver", context=cam.bench.context)
    publishers = [
        cam.bench.advertise(CameraInfo, "/cam/camera_info"),
        other.create_publisher(CameraInfo, "/cam/camera_info", 5),
    ]
    assert cam.bench.spin_until(lambda: all(each.get_subscription_count() for each in publishers))

    def show():
        for publisher, focal_px in zip(publishers, (500.0, 900.0), strict=True):
            publisher.publish(camera_info("", 1, focal_px=focal_px))
        cam.show(frame="eye")

    refuse(cam, show, "because it has 2 publishers (/other_driver, /test_bench)")
    other.destroy_node()


def test_topic_of_the_camera_beside_is_not_taken_for_this_ones(robot):
    cam = robot("/left/image_raw", "-r", "camera_info:=/right/camera_info")
    infos = cam.bench.advertise(CameraInfo, "/right/camera_info")
    cam.bench.advertise(Image, "/right/image_raw")
    assert cam.bench.spin_until(infos.get_subscription_count)

    def show():
        infos.publish(camera_info("right", 1))
        cam.show(frame="left")

    refuse(cam, show, "because it is beside /right/image_raw, and not beside /left/image_raw: let its driver")


def test_stamps_that_another_camera_has_as_well_are_warned_about(robot):
    cam = robot("/left/image_raw", "-r", "camera_info:=/right/camera_info")
    infos = cam.bench.advertise(CameraInfo, "/right/camera_info")
    cam.bench.advertise(Image, "/right/image_raw")
    cam.connect(infos)
    infos.publish(camera_info("right", 1_000_000_000_000 + (cam.number + 1) * 100_000_000))
    cam.show_and_wait(frame="left")
    line = cam.process.wait_for("paired by stamp")
    assert "[WARN]" in line
    assert "because it is beside /right/image_raw, and not beside /left/image_raw: remap camera_info if it is" in line


def test_size_of_another_image_is_told_as_such(robot):
    cam = robot("/cam/image_raw", "-r", "camera_info:=/cam/camera_info")
    infos = cam.bench.advertise(CameraInfo, "/cam/camera_info")
    assert cam.bench.spin_until(infos.get_subscription_count)

    def show():
        infos.publish(camera_info("eye", 1, width=32, height=24))
        cam.show(frame="eye")

    refuse(cam, show, "the last one on /cam/camera_info is for frame_id 'eye', 32x24")
