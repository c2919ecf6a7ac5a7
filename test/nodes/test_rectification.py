"""Whether images are raw or rectified: by the topic's name, by the parameter, and what the log tells of it."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
import tiny_models
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from metric3d_ros.messages import array_to_image, cloud_to_points, image_to_depth
from metric3d_ros.nodes.intake.rectification import Rectification, projection_difference
from metric3d_ros.nodes.parameter_server.schema import build
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.ros.topic_names import is_rectified_topic

RECTIFIED = [
    "/camera/image_rect",
    "/camera/image_rect_color",
    "/camera/image_rect/compressed",
    "image_rect_color/compressed",
    "/camera/camera/infra1/image_rect_raw",
    "/camera/color/image_rect_raw/compressed",
    "/zed/zed_node/rgb/image_rect_color",
    "/zed/zed_node/left_gray/image_rect_gray",
    "/zed/zed_node/rgb/color/rect/image",
    "/zed/zed_node/left/color/rect/image/compressed",
    "/stereo/left/image_rect",
    "/kinect2/hd/image_color_rect",
    "/usb_cam/image_rectified",
    "/front_rect/image",
    "/front_rect/image/zstd",
]
RAW = [
    "image",
    "/image",
    "/camera/image_raw",
    "/camera/image_raw/compressed",
    "/camera/color/image_raw",
    "/camera/image_color",
    "/zed/zed_node/rgb_raw/image_raw_color",
    "/zed/zed_node/rgb/color/raw/image",
    "/camera/image_unrectified",
    "/rectangle/image",
    "/correct/image",
    "/rect_lens/image_raw",
    "/compressed",
    "",
]


@pytest.mark.parametrize("topic", RECTIFIED)
def test_conventional_names_mean_rectified(topic):
    assert is_rectified_topic(topic)


@pytest.mark.parametrize("topic", RAW)
def test_every_other_name_means_raw(topic):
    assert not is_rectified_topic(topic)


@pytest.mark.parametrize(("given", "taken"), [(True, "true"), (False, "false"), ("true", "true"), ("auto", "auto")])
def test_bools_are_taken_for_the_words_that_yaml_reads_them_from(given, taken):
    assert build(DepthParameters, {"rectified": given}).rectified == taken


@pytest.mark.parametrize(
    ("choice", "topic", "is_rectified"),
    [
        ("auto", "/cam/image_rect", True),
        ("auto", "/cam/image_raw", False),
        ("true", "/cam/image_raw", True),
        ("false", "/cam/image_rect", False),
    ],
)
def test_the_parameter_goes_before_the_name(choice, topic, is_rectified):
    assert Rectification(choice=choice, topic=topic).is_rectified is is_rectified


WIDTH, HEIGHT = 640, 480
K = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
LEVEL = 100
METRES_AT_1000_PX = LEVEL * tiny_models.METRES_PER_LEVEL


def camera_info(header=None, *, p_focal=420.0, p_cx=320.0):
    info = CameraInfo(header=header or Header(), width=WIDTH, height=HEIGHT, k=np.array(K))
    info.distortion_model, info.d = "plumb_bob", [-0.35, 0.12, 0.0, 0.0, 0.0]
    info.p[0] = info.p[5] = p_focal
    info.p[2], info.p[6], info.p[10] = p_cx, 240.0, 1.0
    return info


@pytest.mark.parametrize(
    ("changes", "difference"),
    [({}, 0.16), ({"p_focal": 500.0}, 0.0), ({"p_focal": 500.0, "p_cx": 352.0}, 0.05), ({"p_focal": 0.0}, 0.0)],
)
def test_difference_of_k_and_p_is_the_largest_of_its_parts(changes, difference):
    assert projection_difference(camera_info(**changes)) == pytest.approx(difference)


class Trial:
    """depth_node on one image topic, with a camera whose K and P differ."""

    def __init__(self, bench, process, topic):
        self.bench, self.process = bench, process
        self.compressed = topic.endswith("/compressed")
        self.images = bench.advertise(CompressedImage if self.compressed else Image, topic)
        self.infos = bench.advertise(CameraInfo, "/cam/camera_info")
        self.depth, self.points = bench.listen(Image, "/depth/image"), bench.listen(PointCloud2, "/points")
        self.sent = 1000

    def show(self):
        self.sent += 1
        header = Header(frame_id="camera")
        header.stamp.sec = self.sent
        pixels = np.full((HEIGHT, WIDTH, 3), LEVEL, np.uint8)
        self.infos.publish(camera_info(header))
        if self.compressed:
            message = CompressedImage(header=header, format="png")
            message.data.frombytes(cv2.imencode(".png", pixels)[1].tobytes())
        else:
            message = array_to_image(pixels, "rgb8", header=header, sensor_msgs=sensor_msgs.msg)
        self.images.publish(message)
        return header

    def results(self):
        """Return metres in the middle and x of the leftmost point of the middle row, of one new image."""
        headers = []

        def found(messages):
            return [message for message in messages if message.header in headers]

        def complete():
            headers.append(self.show())
            self.bench.spin_for(0.1)
            return found(self.depth) and found(self.points)

        assert self.bench.spin_until(complete), "nothing came"
        cloud = cloud_to_points(found(self.points)[-1]).points
        return image_to_depth(found(self.depth)[-1])[240, 320], cloud[240, 0, 0] / cloud[240, 0, 2]


@pytest.fixture
def trial(tmp_path, model):
    """Return a function that starts depth_node on a topic, with parameters."""
    opened = []

    def start(topic, *more, **values):
        domain = next_domain()
        base = topic.removesuffix("/compressed")
        values |= {"image_transport": "compressed"} if topic != base else {}
        arguments = [*parameters(model=model, **values), "-r", f"image:={base}"]
        arguments += ["-r", "camera_info:=/cam/camera_info", *more]
        node = running_node("depth_node", *arguments, environment=ros_environment(tmp_path, domain))
        process = node.__enter__()
        opened.append((node, bench := TestBench(domain)))
        process.wait_for("ready")
        return Trial(bench, process, topic)

    yield start
    for node, bench in opened:
        bench.close()
        node.__exit__(None, None, None)


K_METRES, P_METRES = 0.5 * METRES_AT_1000_PX, 0.42 * METRES_AT_1000_PX
P_RAY = -320 / 420


def test_file_without_p_is_told_to_be_read_by_k_for_rectified_images():
    described = Rectification(choice="auto", topic="/cam/image_rect").describe(of="chain.yaml#cam0", has_p=False)
    assert described.startswith("uses K in place of P, which is not given, and no lens distortion of chain.yaml#cam0")


@pytest.mark.parametrize("topic", ["/cam/image_rect", "/cam/image_rect_color/compressed"])
def test_topic_that_is_named_as_rectified_uses_p(trial, topic):
    shown = trial(topic)
    line = shown.process.wait_for("uses P and no lens distortion of camera_info")
    assert f"{topic} uses P" in line
    assert "the topic's name is that of rectified images (rectified: auto)" in line
    metres, ray = shown.results()
    assert metres == pytest.approx(P_METRES)
    assert ray == pytest.approx(P_RAY)
    assert not [line for line in shown.process.lines if "differ by" in line]


def test_topic_of_another_name_uses_k_and_d_and_tells_when_that_matters(trial):
    shown = trial("/cam/image_raw", "-r", "depth/image:=/depth/image")
    assert "/cam/image_raw uses K and D of camera_info" in shown.process.wait_for("uses K and D")
    metres, ray = shown.results()
    assert metres == pytest.approx(K_METRES)
    assert ray < -320 / 500 * 1.05, "the lens bends the image's edge outwards"
    line = shown.process.wait_for("K and P of camera_info differ by 16%")
    assert "fx 500.0, fy 500.0, cx 320.0, cy 240.0; P: 420.0, 420.0, 320.0, 240.0" in line
    assert line.endswith("if they are rectified, set the parameter rectified to true")
    shown.results()
    assert len([line for line in shown.process.lines if "differ by" in line]) == 1


def test_parameter_as_yaml_reads_it_goes_before_the_name(trial):
    shown = trial("/cam/image_raw", rectified=True)
    line = shown.process.wait_for("uses P and no lens distortion of camera_info")
    assert "since the parameter rectified is true" in line
    assert shown.results()[0] == pytest.approx(P_METRES)
    result = shown.bench.set_parameters("depth_node", rectified=False)[0]
    assert result.successful, result.reason
    assert shown.bench.spin_until(lambda: shown.results()[0] == pytest.approx(K_METRES))
    assert shown.bench.set_parameters("depth_node", rectified="auto")[0].successful
    assert not shown.bench.set_parameters("depth_node", rectified="perhaps")[0].successful
    assert not [line for line in shown.process.lines if "differ by" in line]


def test_false_takes_a_rectified_name_for_raw(trial):
    shown = trial("/cam/image_rect", rectified=False)
    assert shown.results()[0] == pytest.approx(K_METRES)


def test_depth_of_raw_images_under_a_rectified_name_is_warned_about(trial):
    shown = trial("/cam/image_raw", "-r", "depth/image:=/cam/depth_registered/image_rect")
    shown.depth = shown.bench.listen(Image, "/cam/depth_registered/image_rect")
    shown.results()
    line = shown.process.wait_for("/cam/depth_registered/image_rect is named as rectified")
    assert "[WARN]" in line
    assert "use P, which differs from K by 16%" in line
