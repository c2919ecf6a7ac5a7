"""depth_node as a process, fed and heard over DDS; the model's arithmetic is known, so every number is worked out."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
import tiny_models
from camera_bench import HEIGHT, SCALE, WIDTH, CameraBench, camera_info, expected_depth, picture
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from metric3d_ros.bench.node.overhead import read_memory
from metric3d_ros.messages import array_to_image, cloud_to_points, image_to_array


@pytest.fixture(scope="module")
def session(tmp_path_factory, model):
    """A running depth_node and a bench on its domain."""
    domain = next_domain()
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    with running_node("depth_node", *parameters(model=model), environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready: waiting for /image and /camera_info")
            yield process, bench
        finally:
            bench.close()


@pytest.fixture(scope="module")
def process(session):
    return session[0]


@pytest.fixture(scope="module")
def camera(session):
    camera = CameraBench(session[1])
    camera.connect()
    return camera


def test_every_output_carries_stamp_frame_and_size_of_the_image(camera):
    header = camera.show(picture())
    results = camera.results(header)
    for topic, message in results.items():
        assert message.header == header, topic
        assert (message.width, message.height) == (WIDTH, HEIGHT), topic


def test_outputs_have_the_documented_forms(camera):
    results = camera.results(camera.show(picture()))
    encodings = {topic: getattr(message, "encoding", None) for topic, message in results.items()}
    assert encodings == {
        "depth/image": "32FC1",
        "depth/camera_info": None,
        "depth/image_color": "rgb8",
        "normals/image": "32FC3",
        "normals/image_color": "rgb8",
        "confidence/image": "32FC1",
        "points": None,
    }
    cloud = results["points"]
    names = [field.name for field in cloud.fields]
    assert names == ["x", "y", "z", "rgb", "normal_x", "normal_y", "normal_z"]
    assert (cloud.is_dense, cloud.is_bigendian) == (False, False)


def test_depth_scales_with_the_focal_length_of_camera_info(camera):
    rgb = picture(1)
    depth = image_to_array(camera.results(camera.show(rgb), ["depth/image"])["depth/image"]).array
    np.testing.assert_allclose(depth, expected_depth(rgb), rtol=1e-5)


def test_points_lie_where_the_camera_sees_them(camera):
    rgb = picture(2)
    cloud = cloud_to_points(camera.results(camera.show(rgb), ["points"])["points"])
    z = expected_depth(rgb)[10, 50]
    # Column 50, row 10: (50 - 20) / 800 = 0.0375 to the right, (10 - 30) / 810 = -0.0247 down.
    np.testing.assert_allclose(cloud.points[10, 50], [0.0375 * z, -20 / 810 * z, z], rtol=1e-5)
    np.testing.assert_array_equal(cloud.rgb, rgb)
    np.testing.assert_array_equal(cloud.normals[10, 50], tiny_models.NORMAL)


def test_normals_and_confidence_are_the_networks(camera):
    results = camera.results(camera.show(picture()), ["normals/image", "normals/image_color", "confidence/image"])
    normals = image_to_array(results["normals/image"]).array
    assert (normals == np.float32(tiny_models.NORMAL)).all()
    assert (image_to_array(results["confidence/image"]).array == tiny_models.CONFIDENCE).all()
    assert (image_to_array(results["normals/image_color"]).array == (128, 128, 0)).all()


def test_depth_camera_info_is_the_images(camera):
    header = camera.header()
    info = camera_info(header, distortion_model="plumb_bob", d=[0.01, 0.0, 0.0, 0.0, 0.0])
    info.p = np.arange(12.0)
    camera.show(picture(), header=header, info=info)
    assert camera.results(header, ["depth/camera_info"])["depth/camera_info"] == info


def test_region_and_binning_of_camera_info_scale_depth(camera):
    header, rgb = camera.header(), picture(3)
    info = camera_info(header, width=WIDTH * 2 + 10, height=HEIGHT * 2, binning_x=2, binning_y=2)
    info.roi.x_offset, info.roi.width, info.roi.height = 10, WIDTH * 2, HEIGHT * 2
    camera.show(rgb, header=header, info=info)
    depth = image_to_array(camera.results(header, ["depth/image"])["depth/image"]).array
    np.testing.assert_allclose(depth, expected_depth(rgb, SCALE / 2), rtol=1e-5)


def test_size_encoding_and_frame_may_change_with_every_image(camera):
    grey = np.full((40, 100), 100, np.uint8)
    wide = picture(4, width=100, height=40)
    shown = [
        (camera.header("left"), wide, "rgb8", expected_depth(wide)),
        (camera.header("right"), grey, "mono8", np.full((40, 100), 100 * tiny_models.METRES_PER_LEVEL * SCALE)),
        (camera.header("left"), picture(5), "bgr8", expected_depth(picture(5))),
    ]
    for header, array, encoding, depth in shown:
        camera.show(array, encoding=encoding, header=header)
        message = camera.results(header, ["depth/image"])["depth/image"]
        assert message.header == header
        np.testing.assert_allclose(image_to_array(message).array, depth, rtol=1e-5)


def test_last_camera_info_serves_images_whose_stamp_none_has(camera, process):
    # A camera of its own frame, whose camera_info was published once, long ago.
    camera.infos.publish(camera_info(Header(frame_id="latched")))
    rgb, heard = picture(6), camera.heard["depth/image"]
    for _ in range(100):  # the camera before had stamps, so the first ones wait for theirs in vain
        camera.show(rgb, header=camera.header("latched"), with_info=False)
        camera.bench.spin_for(0.1)
        if heard[-1].header.frame_id == "latched":
            break
    assert heard[-1].header.frame_id == "latched"
    depth = image_to_array(heard[-1]).array
    np.testing.assert_allclose(depth, expected_depth(rgb), rtol=1e-5)
    said = [line for line in process.lines if "no camera_info on /camera_info has the image's stamp" in line]
    assert len(said) == 1
    assert "[INFO]" in said[0]


def truncated(image, info):
    image.data = image.data[:-100]


def empty(image, info):
    image.data = []


def of_no_size(image, info):
    image.width, image.height = 0, 0


def of_unknown_encoding(image, info):
    image.encoding = "plasma7"


def with_camera_info_of_another_size(image, info):
    info.width, info.height = 320, 240


def uncalibrated(image, info):
    info.k = np.zeros(9)


BAD = {
    truncated: "it was truncated",
    empty: "the image has no data",
    of_no_size: "the image is 0 x 0 pixels",
    of_unknown_encoding: "the image's encoding is 'plasma7'",
    with_camera_info_of_another_size: "the camera is calibrated for 320x240, but the image is 64x48",
    uncalibrated: "0 means uncalibrated",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_bad_frame_is_dropped_with_its_reason_and_the_next_one_works(camera, process, spoil):
    header = camera.header()
    image = array_to_image(picture(), "rgb8", header=header, sensor_msgs=sensor_msgs.msg)
    info = camera_info(header)
    spoil(image, info)
    already_said = len(process.lines)
    camera.infos.publish(info)
    camera.images.publish(image)
    line = process.wait_for("frame dropped", timeout_s=10, after=already_said)
    assert "[WARN]" in line
    assert BAD[spoil] in line
    camera.results(camera.show(picture()))
    assert not [message for message in camera.heard["depth/image"] if message.header.stamp == header.stamp]


def test_nothing_is_computed_while_nobody_listens(session, model, tmp_path):
    domain = next_domain()
    with running_node("depth_node", *parameters(model=model), environment=ros_environment(tmp_path, domain)) as process:
        bench = TestBench(domain)
        try:
            images, infos = bench.advertise(Image, "image"), bench.advertise(CameraInfo, "camera_info")
            process.wait_for("ready")
            assert bench.spin_until(lambda: images.get_subscription_count() and infos.get_subscription_count())
            # An image of no encoding is dropped with a warning as soon as it is looked at.
            unreadable = Image(header=Header(frame_id="camera"), width=WIDTH, height=HEIGHT, encoding="plasma7")

            def show_and_look():
                infos.publish(camera_info(unreadable.header))
                images.publish(unreadable)
                bench.spin_for(0.1)
                return any("frame dropped" in line for line in process.lines)

            assert not any(show_and_look() for _ in range(10))
            bench.listen(Image, "depth/image")
            assert any(show_and_look() for _ in range(100))
        finally:
            bench.close()


def test_memory_stays_small_with_a_small_model(process, camera):
    used = read_memory(process.pid)
    assert used.own_mib < 150
    # Of shared memory, how much it has touched depends on how busy the machine was, but not how much there is: a
    # segment of its own, and one of the only process that sends to it.
    lines = [line.split() for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines()]
    segments = {line[-1]: Path(line[-1]).stat().st_size / 2**20 for line in lines if "/dev/shm/fast" in line[-1]}
    assert 64 < sum(segments.values()) < 140, segments


def test_nothing_unexpected_was_logged(process):
    assert not [line for line in process.lines if "Traceback" in line or "[ERROR]" in line]
