"""How depth_node takes images and camera_info: compressed, latched, described by parameters, and what it refuses."""

import struct

import cv2
import numpy as np
import psutil
import pytest
from encoded_pictures import encode

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import CX, CY, FX, FY, CameraBench, camera_info, expected_depth, picture
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from metric3d_ros.messages import image_to_array, image_to_depth

MAX_PIXELS = 100_000


class CompressedCamera:
    """Publishes compressed images, and holds the depth that came back."""

    def __init__(self, bench):
        self.bench = bench
        self.images = bench.advertise(CompressedImage, "/cam/image_raw/compressed")
        self.depth = None
        self._stamp_s = 1_000

    def show(self, data, *, form="jpeg"):
        self._stamp_s += 1
        header = Header(frame_id="camera")
        header.stamp.sec = self._stamp_s
        message = CompressedImage(header=header, format=form)
        message.data.frombytes(bytes(data))
        self.images.publish(message)
        return header

    def connect(self):
        self.depth = self.bench.listen(Image, "/cam/depth/image_rect")
        for _ in range(100):
            self.show(png(picture()))
            self.bench.spin_for(0.2)
            if self.depth:
                return
        raise AssertionError("no depth came")

    def depth_of(self, header):
        def found():
            return [message for message in self.depth if message.header == header]

        assert self.bench.spin_until(lambda: bool(found())), "no depth has come of this image"
        return image_to_depth(found()[0])


def png(rgb):
    return encode(rgb[..., ::-1], ".png")


def jpeg(rgb):
    return encode(rgb[..., ::-1], ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)


@pytest.fixture(scope="module")
def session(tmp_path_factory, model):
    """A node that takes compressed images of a camera that parameters describe; points are switched off."""
    domain = next_domain()
    arguments = parameters(
        model=model,
        image_transport="compressed",
        intrinsics=[FX, FY, CX, CY],
        always_run=True,
        max_pixels=MAX_PIXELS,
        outputs__points=False,
        outputs__confidence=False,
        sixteen_bit_range="full",
    )
    arguments += ["-r", "image:=/cam/image_raw", "-r", "depth/image:=/cam/depth/image_rect"]
    with running_node(
        "depth_node", *arguments, environment=ros_environment(tmp_path_factory.mktemp("log"), domain)
    ) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready: waiting for /cam/image_raw/compressed")
            yield process, CompressedCamera(bench)
        finally:
            bench.close()


@pytest.fixture(scope="module")
def process(session):
    return session[0]


@pytest.fixture(scope="module")
def camera(session):
    session[1].connect()
    return session[1]


# The order matters: this one is about a node that nobody has subscribed to yet.
def test_with_always_run_images_are_worked_on_while_nobody_listens(session):
    process, camera = session
    assert camera.bench.spin_until(camera.images.get_subscription_count)

    def show_and_look():
        camera.show(png(picture(width=MAX_PIXELS, height=1)), form="png")
        camera.bench.spin_for(0.1)
        return any("frame dropped" in line for line in process.lines)

    assert any(show_and_look() for _ in range(50)), "an image that is too narrow for the network was not even tried"


def test_parameters_in_place_of_camera_info_are_warned_about(process):
    line = process.wait_for("is described by a parameter")
    assert "[WARN]" in line
    assert "scale of depth" in line


def test_png_gives_the_depth_of_the_raw_image(camera):
    rgb = picture(1)
    np.testing.assert_allclose(camera.depth_of(camera.show(png(rgb), form="png")), expected_depth(rgb), rtol=1e-5)


@pytest.mark.parametrize("form", ["jpeg", "bgr8; jpeg compressed bgr8", ""])
def test_jpeg_gives_the_depth_of_its_pixels_whatever_the_format_says(camera, form):
    rgb = np.full((48, 64, 3), (200, 30, 90), np.uint8)
    depth = camera.depth_of(camera.show(jpeg(rgb), form=form))
    # JPEG changes colours by a level or two.
    assert np.abs(depth / expected_depth(rgb) - 1).max() < 0.02


@pytest.mark.parametrize(
    "behind", [b"\0\0\0\x18ftypmp42" + bytes(3000), b"trailer", None], ids=["video", "text", "cut"]
)
def test_pictures_with_something_or_no_end_mark_behind_them_give_depth(camera, behind):
    rgb = np.full((48, 64, 3), (200, 30, 90), np.uint8)
    data = jpeg(rgb)
    depth = camera.depth_of(camera.show(data[:-2] if behind is None else data + behind))
    assert np.abs(depth / expected_depth(rgb) - 1).max() < 0.02


RED = np.full((48, 64, 3), (240, 0, 0), np.uint8)
FORMS = {
    "TIFF of rgb8": ("rgb8; tiff compressed ", encode(RED, ".tiff"), RED),
    "TIFF of bgr8": ("bgr8; tiff compressed ", encode(RED[..., ::-1], ".tiff"), RED),
    "WebP": ("webp", encode(RED[..., ::-1], ".webp", cv2.IMWRITE_WEBP_QUALITY, 101), RED),
    "PNG of 16 bits": ("rgb16; png compressed bgr16", encode(RED[..., ::-1].astype(np.uint16) * 257, ".png"), RED),
    "JPEG of a mosaic as gray": ("bayer_rggb8; jpeg compressed mono8", encode(RED[..., 0], ".jpg"), RED[..., :1]),
    "PNG of a mosaic": ("bayer_rggb8; png compressed ", None, RED),
}


@pytest.mark.parametrize("what", FORMS)
def test_forms_of_the_compressed_plugin_give_the_depth_of_the_raw_image(camera, what):
    form, data, rgb = FORMS[what]
    if data is None:
        mosaic = np.zeros((48, 64), np.uint8)
        mosaic[::2, ::2] = 240
        data = encode(mosaic, ".png")
    depth = camera.depth_of(camera.show(data, form=form))
    np.testing.assert_allclose(depth, expected_depth(rgb), rtol=0.01)


def test_size_may_change_from_image_to_image(camera):
    for rgb in (picture(2, width=100, height=40), picture(3), picture(4, width=30, height=70)):
        np.testing.assert_allclose(camera.depth_of(camera.show(png(rgb), form="png")), expected_depth(rgb), rtol=1e-5)


def bomb():
    """A JPEG of a few hundred bytes whose header says 60000 x 60000."""
    data = bytearray(jpeg(picture()))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


BAD = {
    "a bomb": (bomb(), "60000 x 60000 pixels, expected at most 100000"),
    "cut short": (jpeg(picture())[:-2000], "of its 48 rows are missing; it was cut short"),
    "no picture": (b"GIF89a" + bytes(50), "is a GIF (it starts with 47 49 46 38), expected JPEG, PNG, TIFF or WebP"),
    "nothing": (b"", "has no data"),
    "a start only": (b"\xff\xd8\xff", "without a header"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_picture_is_dropped_with_its_reason_and_the_next_one_works(camera, process, what):
    data, reason = BAD[what]
    before = psutil.Process(process.pid).memory_info().rss
    already_said = len(process.lines)
    camera.show(data)
    assert reason in process.wait_for("frame dropped", timeout_s=10, after=already_said)
    rgb = picture(5)
    np.testing.assert_allclose(camera.depth_of(camera.show(png(rgb), form="png")), expected_depth(rgb), rtol=1e-5)
    assert psutil.Process(process.pid).memory_info().rss - before < 2**24


def test_outputs_that_are_switched_off_are_not_advertised(camera):
    topics = {name for name, _ in camera.bench.node.get_topic_names_and_types()}
    assert {"/depth/camera_info", "/normals/image", "/depth/image_color"} <= topics
    assert not {"/points", "/scan", "/confidence/image"} & topics


def test_compressed_depth_follows_when_the_depth_image_is_remapped(camera):
    topics = {name for name, _ in camera.bench.node.get_topic_names_and_types()}
    assert {"/cam/depth/image_rect", "/cam/depth/image_rect/compressedDepth"} <= topics
    assert not {"/depth/image", "/depth/image/compressedDepth"} & topics


def test_nothing_unexpected_was_logged(process):
    assert not [line for line in process.lines if "Traceback" in line or "[ERROR]" in line]


def test_latched_camera_info_that_was_published_before_the_node_came_is_used(tmp_path, model):
    domain = next_domain()
    bench = TestBench(domain)
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    try:
        bench.advertise(CameraInfo, "camera_info", latched).publish(camera_info(Header(frame_id="camera")))
        images, depth = CameraBench(bench, {}), bench.listen(Image, "depth/image")
        arguments = parameters(model=model)
        with running_node("depth_node", *arguments, environment=ros_environment(tmp_path, domain)) as process:
            process.wait_for("ready")
            rgb = picture(6)

            def show_and_look():
                images.show(rgb, header=images.header("camera"), with_info=False)
                bench.spin_for(0.2)
                return bool(depth)

            assert any(show_and_look() for _ in range(50))
            np.testing.assert_allclose(image_to_array(depth[0]).array, expected_depth(rgb), rtol=1e-5)
    finally:
        bench.close()


def test_field_of_view_stands_for_camera_info(tmp_path, model):
    domain = next_domain()
    bench = TestBench(domain)
    try:
        images, depth = CameraBench(bench, {}), bench.listen(Image, "depth/image")
        infos = bench.listen(CameraInfo, "depth/camera_info")
        arguments = parameters(model=model, hfov_deg=90)
        with running_node("depth_node", *arguments, environment=ros_environment(tmp_path, domain)) as process:
            process.wait_for("ready")
            rgb = picture(7)

            def show_and_look():
                images.show(rgb, with_info=False)
                bench.spin_for(0.2)
                return bool(depth and infos)

            assert any(show_and_look() for _ in range(50))
            # Half of 64 pixels spans 45 degrees: the focal length is 32 pixels.
            np.testing.assert_allclose(image_to_array(depth[0]).array, expected_depth(rgb, 0.032), rtol=1e-5)
            assert (infos[0].k[0], infos[0].k[2], infos[0].k[5]) == pytest.approx((32.0, 31.5, 23.5))
    finally:
        bench.close()


BAD_START = {
    "outputs.scan:=true": "parameter scan.frame_id is ''",
    "depth.encoding:=8UC1": "parameter depth.encoding is '8UC1', expected string 32FC1, 16UC1",
    "points.stride:=0": "parameter points.stride is 0, expected int 1 to 64",
    "color.near_m:=-1.0": "parameter color.near_m is -1.0",
    "rotate:=45": "parameter rotate is 45 degrees, expected 0, 90, 180 or 270",
    "sixteen_bit_range:=14": "parameter sixteen_bit_range is 14, expected string",
    "sixteen_bit_range:=9-3": "parameter sixteen_bit_range is '9-3', expected auto, full, or MIN-MAX such as 7500-7900",
    "image_transport:=theora": "parameter image_transport is 'theora', expected string raw, compressed",
}


@pytest.mark.parametrize("setting", BAD_START)
def test_parameters_that_cannot_be_used_end_the_start_with_one_line(tmp_path, setting):
    with running_node(
        "depth_node", "--ros-args", "-p", setting, environment=ros_environment(tmp_path, next_domain())
    ) as process:
        assert process.wait() == 1
    errors = [line for line in process.lines if "error" in line.lower()]
    assert len(errors) == 1
    assert BAD_START[setting] in errors[0]


def test_a_limit_of_confidence_needs_a_model_that_gives_it(tmp_path):
    model = tiny_models.save_onnx_community_model(tmp_path / "foreign.onnx")
    arguments = parameters(model=model, depth__min_confidence=0.5)
    with running_node("depth_node", *arguments, environment=ros_environment(tmp_path, next_domain())) as process:
        line = process.wait_for("gives no confidence")
        assert "[FATAL]" in line
        assert process.wait() == 1
