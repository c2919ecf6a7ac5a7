"""Topics that hold something else than was asked for: log and /diagnostics tell it, and the remedy they give works."""

import re
import shlex

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header, String

from metric3d_ros.messages import array_to_image

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


class Camera:
    """Publishes one kind of image on one topic, and its camera_info on another."""

    def __init__(
        self, domain, image_topic, *, kind=Image, info_topic="/camera_info", info_kind=CameraInfo, qos=RELIABLE
    ):
        self.bench, self.kind, self.info_kind = TestBench(domain), kind, info_kind
        self.images = self.bench.advertise(kind, image_topic, qos)
        self.infos = self.bench.advertise(info_kind, info_topic, qos)
        self.depth = self.bench.listen(Image, "/depth/image")
        self.reports = self.bench.listen(DiagnosticArray, "/diagnostics")

    def show(self):
        header = Header(frame_id="camera", stamp=self.bench.node.get_clock().now().to_msg())
        if self.info_kind is CameraInfo:
            k = np.array([500.0, 0.0, 32.0, 0.0, 500.0, 24.0, 0.0, 0.0, 1.0])
            self.infos.publish(CameraInfo(header=header, width=64, height=48, k=k))
        pixels = np.full((48, 64, 3), 100, np.uint8)
        if self.kind is CompressedImage:
            message = CompressedImage(header=header, format="bgr8; png compressed bgr8")
            message.data.frombytes(cv2.imencode(".png", pixels)[1].tobytes())
            self.images.publish(message)
        elif self.kind is Image:
            self.images.publish(array_to_image(pixels, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))
        else:
            self.images.publish(self.kind())

    def status(self):
        found = [each for report in self.reports[-1:] for each in report.status if each.name.endswith("camera")]
        return found[0] if found else DiagnosticStatus()

    def wait_for_status(self, text):
        """Show images until the status holds `text`; return it."""

        def told():
            self.show()
            self.bench.spin_for(0.1)
            return text in self.status().message

        assert self.bench.spin_until(told, timeout_s=30), self.status().message
        return self.status()

    def wait_for_reports(self, number):
        """Show images until so many more reports have come, one a second."""
        enough = len(self.reports) + number
        assert self.bench.spin_until(
            lambda: len(self.reports) >= enough or self.show() or self.bench.spin_for(0.1), timeout_s=60
        )

    def wait_for_depth(self):
        self.depth.clear()
        assert self.bench.spin_until(lambda: self.depth or self.show() or self.bench.spin_for(0.1), timeout_s=30)


IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"

# What the camera publishes, the arguments that do not fit, what is told, and the arguments that follow from it.
CASES = {
    "compressed topic as raw": (
        {"image_topic": "/cam/image_raw/compressed", "kind": CompressedImage},
        "-r image:=/cam/image_raw/compressed",
        f"/test_bench publishes {COMPRESSED_IMAGE} on /cam/image_raw/compressed, expected {IMAGE}: set the parameter "
        "image_transport to compressed, and remap image to /cam/image_raw, since /compressed is added to it",
        "-r image:=/cam/image_raw -p image_transport:=compressed",
    ),
    "compressed topic as base of compressed": (
        {"image_topic": "/cam/image_raw/compressed", "kind": CompressedImage},
        "-r image:=/cam/image_raw/compressed -p image_transport:=compressed",
        "nothing publishes on /cam/image_raw/compressed/compressed, but /cam/image_raw/compressed itself holds "
        "compressed images: remap image to /cam/image_raw, since /compressed is added to it",
        "-r image:=/cam/image_raw -p image_transport:=compressed",
    ),
    "compressed only, raw is asked for": (
        {"image_topic": "/cam/image_raw/compressed", "kind": CompressedImage},
        "-r image:=/cam/image_raw",
        "nothing publishes on /cam/image_raw, but /cam/image_raw/compressed holds compressed images: set the parameter "
        "image_transport to compressed",
        "-r image:=/cam/image_raw -p image_transport:=compressed",
    ),
    "raw only, compressed is asked for": (
        {"image_topic": "/cam/image_raw"},
        "-r image:=/cam/image_raw -p image_transport:=compressed",
        "nothing publishes on /cam/image_raw/compressed, but /cam/image_raw holds raw images: set the parameter "
        "image_transport to raw",
        "-r image:=/cam/image_raw -p image_transport:=raw",
    ),
    "compressed images under a name of their own, as raw": (
        {"image_topic": "/eye", "kind": CompressedImage},
        "-r image:=/eye",
        f"/test_bench publishes {COMPRESSED_IMAGE} on /eye, expected {IMAGE}: set the parameter image_transport to "
        "compressed, and add the remapping /eye/compressed:=/eye, since /compressed is added to it",
        "-r image:=/eye -p image_transport:=compressed -r /eye/compressed:=/eye",
    ),
    "raw images on a compressed name": (
        {"image_topic": "/cam/image/compressed"},
        "-r image:=/cam/image -p image_transport:=compressed",
        f"/test_bench publishes {IMAGE} on /cam/image/compressed, expected {COMPRESSED_IMAGE}: set the parameter "
        "image_transport to raw, and remap image to /cam/image/compressed",
        "-r image:=/cam/image/compressed -p image_transport:=raw",
    ),
    "QoS that does not match": (
        {"image_topic": "/image", "qos": BEST_EFFORT},
        "-p qos.input_reliability:=reliable",
        "/test_bench does not match on /image: it publishes best effort, and reliable is asked for here; set "
        "qos.input_reliability to best_effort",
        "-p qos.input_reliability:=best_effort",
    ),
    "QoS of one topic that does not match": (
        {"image_topic": "/image", "qos": BEST_EFFORT},
        "-p qos_overrides./image.subscription.reliability:=reliable",
        "/test_bench does not match on /image: it publishes best effort, and reliable is asked for here; set "
        "qos.input_reliability to best_effort, or qos_overrides./image.subscription.reliability if that is set",
        "-p qos_overrides./image.subscription.reliability:=best_effort",
    ),
    "deadline that does not match": (
        {"image_topic": "/image"},
        "-p qos_overrides./image.subscription.deadline:=5000000000",
        "/test_bench does not match on /image: it offers less deadline than is asked for here; set the parameter "
        "qos_overrides./image.subscription.deadline to 0",
        "-p qos_overrides./image.subscription.deadline:=0",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_wrong_topic_is_told_and_the_remedy_works(tmp_path, model, what):
    published, wrong, text, right = CASES[what]
    domain = next_domain()
    environment = ros_environment(tmp_path, domain)
    camera = Camera(domain, **published)
    try:
        with running_node("depth_node", *parameters(model=model), *shlex.split(wrong), environment=environment) as node:
            node.wait_for("ready")
            # Until the node knows the camera, its type and its name, it gives other reasons.
            status = camera.wait_for_status(f"waiting for images: {text}")
            assert status.level == DiagnosticStatus.WARN
            assert {pair.key for pair in status.values} >= {"no images, because"}
            assert "[WARN]" in node.wait_for(f"no images come: {text}")
            camera.wait_for_reports(3)
            assert len([line for line in node.lines if text in line]) == 1
        with running_node("depth_node", *parameters(model=model), *shlex.split(right), environment=environment) as node:
            node.wait_for("ready")
            camera.wait_for_depth()
            assert not [line for line in node.lines if "no images come" in line and "[WARN]" in line]
    finally:
        camera.bench.close()


def test_topic_of_quite_another_type_is_named(tmp_path, model):
    domain = next_domain()
    camera = Camera(domain, "/image", kind=String)
    try:
        environment = ros_environment(tmp_path, domain)
        with running_node("depth_node", *parameters(model=model), environment=environment) as node:
            node.wait_for(f"no images come: /test_bench publishes std_msgs/msg/String on /image, expected {IMAGE}")
    finally:
        camera.bench.close()


def test_publisher_that_cannot_be_heard_is_told_beside_a_silent_one_that_can(tmp_path, model):
    domain = next_domain()
    camera = Camera(domain, "/image", qos=BEST_EFFORT)
    try:
        camera.bench.advertise(Image, "/image")
        environment = ros_environment(tmp_path, domain)
        arguments = parameters(model=model, qos__input_reliability="reliable")
        with running_node("depth_node", *arguments, environment=environment) as node:
            node.wait_for("no images come: /test_bench does not match on /image: it publishes best effort")
    finally:
        camera.bench.close()


def test_nothing_published_names_what_there_is(tmp_path, model):
    domain = next_domain()
    camera = Camera(domain, "/camera/color/image_raw")
    try:
        environment = ros_environment(tmp_path, domain)
        with running_node("depth_node", *parameters(model=model), environment=environment) as node:
            line = node.wait_for("no images come: nothing publishes on /image (Image is published")
            assert "[INFO]" in line
            assert line.endswith(
                "nothing publishes on /image (Image is published on /camera/color/image_raw); remap image to the "
                "camera's topic"
            ), "and the node's own pictures are not among them"
    finally:
        camera.bench.close()


INFO_CASES = {
    "nothing": (
        {"info_topic": "/cam/info"},
        "",
        "nothing publishes on /camera_info (CameraInfo is published on /cam/info); remap camera_info to the camera's "
        "topic, or set the parameter camera_info_url, intrinsics or hfov_deg",
        "-r camera_info:=/cam/info",
    ),
    "another type": (
        {"info_kind": String},
        "",
        "/test_bench publishes std_msgs/msg/String on /camera_info, expected sensor_msgs/msg/CameraInfo: remap "
        "camera_info to a topic of that type",
        "-p hfov_deg:=60.0",
    ),
    "QoS": (
        {"qos": BEST_EFFORT},
        "-p qos_overrides./camera_info.subscription.reliability:=reliable",
        "/test_bench does not match on /camera_info: it publishes best effort, and reliable is asked for here",
        "-p qos_overrides./camera_info.subscription.reliability:=best_effort",
    ),
}


@pytest.mark.parametrize("what", INFO_CASES)
def test_camera_info_that_cannot_come_is_told_and_the_remedy_works(tmp_path, model, what):
    published, wrong, text, right = INFO_CASES[what]
    domain = next_domain()
    environment = ros_environment(tmp_path, domain)
    camera = Camera(domain, "/image", **published)
    try:
        with running_node("depth_node", *parameters(model=model), *shlex.split(wrong), environment=environment) as node:
            node.wait_for("ready")
            status = camera.wait_for_status(text)
            assert status.message.startswith("waiting for camera_info: no camera_info has come for the image")
            assert re.search(rf"\[WARN\].*{re.escape(text)}", node.wait_for(text))
        with running_node("depth_node", *parameters(model=model), *shlex.split(right), environment=environment) as node:
            node.wait_for("ready")
            camera.wait_for_depth()
    finally:
        camera.bench.close()
