"""metric3d view as a process: fed over DDS, and what it recorded read back from its file."""

import signal
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
pytest.importorskip("rerun.chunk", reason="this rerun-sdk is too old to read recordings back")

import sensor_msgs.msg
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_process import TestBench, are_matched, next_domain, ros_environment
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from view_recording import (
    CAMERA,
    DEPTH_M,
    HEIGHT,
    NAN,
    RGB,
    STAMPS_NS,
    WIDTH,
    first,
    header,
    picture,
    pixels,
    rows,
    rows_with,
    start_view,
    views,
)

from metric3d_ros.camera import Camera
from metric3d_ros.messages import camera_to_camera_info, depth_to_image, points_to_cloud
from metric3d_ros.pictures import normals_to_rgb

POINTS = np.dstack([np.full_like(DEPTH_M, 0.5), np.full_like(DEPTH_M, -0.25), np.arange(24.0).reshape(4, 6) + 1])
POINTS = POINTS.astype(np.float32)
POINTS[1, 2] = NAN


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """What a camera with every topic leaves: the file, the process's lines and its exit code."""
    folder = tmp_path_factory.mktemp("view")
    domain = next_domain()
    process = start_view("--save", folder / "all.rrd", environment=ros_environment(folder, domain))
    bench = TestBench(domain)
    try:
        process.wait_for("watching /image, /depth/image, /normals/image, /points into")
        publish = {
            "camera_info": bench.advertise(CameraInfo, "camera_info"),
            "image": bench.advertise(Image, "image"),
            "depth": bench.advertise(Image, "depth/image"),
            "normals": bench.advertise(Image, "normals/image"),
            "points": bench.advertise(PointCloud2, "points"),
        }
        assert bench.spin_until(lambda: are_matched(publish.values()))
        bench.spin_for(0.3)
        for stamp_ns in STAMPS_NS:
            for _ in range(3):  # best effort: one may be lost
                send_everything(publish, stamp_ns)
                bench.spin_for(0.3)
        for kind in ("image", "depth", "normals", "points"):
            process.wait_for(f"{kind} has come")
        process.signal(signal.SIGINT)
        code = process.wait()
    finally:
        bench.close()
        process.close()
    return folder / "all.rrd", process.lines, code


def send_everything(publish, stamp_ns):
    made = header(stamp_ns)
    publish["camera_info"].publish(camera_to_camera_info(CAMERA, header=made, sensor_msgs=sensor_msgs.msg))
    time.sleep(0.05)
    publish["image"].publish(picture(RGB[..., ::-1], "bgr8", stamp_ns))
    # Not through depth_to_image, which would clean what other publishers send.
    publish["depth"].publish(picture(DEPTH_M, "32FC1", stamp_ns))
    publish["normals"].publish(picture(unit_normals(), "32FC3", stamp_ns))
    cloud = points_to_cloud(POINTS, header=made, sensor_msgs=sensor_msgs.msg, rgb=RGB)
    publish["points"].publish(cloud)


def unit_normals():
    normals = np.random.default_rng(1).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    normals[2, 3] = NAN
    return normals


@pytest.fixture(scope="module")
def found(session):
    return rows(session[0])


def test_ctrl_c_ends_the_viewer_cleanly(session):
    _, lines, code = session
    assert code == 0
    assert "Traceback" not in "\n".join(lines)


def test_all_that_was_taken_and_not_dropped_is_in_the_file(session, found):
    summary = session[1][-1].partition("took ")[2]
    taken = sum(int(words.split()[0]) for words in summary.partition(";")[0].split(", "))
    dropped = int(summary.partition("; ")[2].split()[0])
    shown = [rows_with(found, *what) for what in (
        ("/image", "Image:buffer"), ("/depth", "DepthImage:buffer"),
        ("/normals", "Image:buffer"), ("/points", "Points3D:positions"),
    )]  # fmt: skip
    assert all(shown)
    assert sum(map(len, shown)) == taken - dropped


def test_time_is_the_messages_stamp(found):
    for entity, component in (("/image", "Image:buffer"), ("/depth", "DepthImage:buffer"), ("/normals", "Image:buffer"),
                              ("/points", "Points3D:positions")):  # fmt: skip
        assert {stamp for stamp, _ in rows_with(found, entity, component)} == set(STAMPS_NS)


def test_depth_is_metres_and_nan_where_nothing_was_measured(found):
    expected = DEPTH_M.copy()
    expected[0, 1] = expected[3, 5] = NAN
    for _, row in rows_with(found, "/depth", "DepthImage:buffer"):
        assert first(row, "DepthImage:meter") == 1.0
        assert {name: first(row, "DepthImage:format")[name] for name in ("width", "height")} == {
            "width": WIDTH,
            "height": HEIGHT,
        }
        np.testing.assert_array_equal(pixels(row, "DepthImage", np.float32), expected)


def test_depth_and_image_stand_in_space_as_their_camera_saw_them(found):
    (_, world) = rows_with(found, "/", "ViewCoordinates:xyz")[0]
    right, down, forward = 3, 2, 5
    assert first(world, "ViewCoordinates:xyz") == [right, down, forward]
    for entity in ("/image", "/depth"):
        cameras = rows_with(found, entity, "Pinhole:image_from_camera")
        assert len(cameras) == 1  # sent again only when it changes
        _, row = cameras[0]
        column_by_column = [CAMERA.fx, 0, 0, 0, CAMERA.fy, 0, CAMERA.cx, CAMERA.cy, 1]
        assert first(row, "Pinhole:image_from_camera") == column_by_column
        assert first(row, "Pinhole:resolution") == [WIDTH, HEIGHT]
        assert first(row, "Pinhole:camera_xyz") == [right, down, forward]


def test_the_image_has_its_colours(found):
    for _, row in rows_with(found, "/image", "Image:buffer"):
        np.testing.assert_array_equal(pixels(row, "Image", np.uint8, 3), RGB)


def test_normals_are_painted_as_the_node_paints_them(found):
    for _, row in rows_with(found, "/normals", "Image:buffer"):
        np.testing.assert_array_equal(pixels(row, "Image", np.uint8, 3), normals_to_rgb(unit_normals()))


def test_the_cloud_has_its_valid_points_in_their_colours_and_the_size_of_pixels(found):
    valid = np.isfinite(POINTS).all(axis=2)
    for _, row in rows_with(found, "/points", "Points3D:positions"):
        positions = np.array(row["Points3D:positions"].as_py(), np.float32)
        np.testing.assert_array_equal(positions, POINTS[valid])
        packed = np.array(row["Points3D:colors"].as_py(), np.uint32)
        rgb = np.stack([packed >> 24, packed >> 16 & 255, packed >> 8 & 255], axis=1)
        np.testing.assert_array_equal(rgb, RGB[valid])
        radii = np.array(row["Points3D:radii"].as_py())
        assert np.ptp(radii / positions[:, 2]) < 1e-6
        assert 0.5 / CAMERA.focal_px < (radii / positions[:, 2]).mean() < 2 / CAMERA.focal_px


def test_the_layout_has_a_view_of_everything(session):
    assert views(session[0]) == {
        "points": "3D", "depth in space": "3D", "image": "2D", "depth": "2D", "normals": "2D",
    }  # fmt: skip


def test_other_robots_topics_some_missing_some_broken_none_calibrated(tmp_path):
    domain, file = next_domain(), tmp_path / "robot.rrd"
    process = start_view(
        *("--save", file, "--depth", "/tof/depth", "--points", "", "--image", "/front/image/compressed"),
        *("--ros-args", "-r", "normals/image:=/never/there"),
        environment=ros_environment(tmp_path, domain),
    )
    bench = TestBench(domain)
    try:
        process.wait_for("watching /front/image/compressed, /tof/depth, /never/there into")
        depth = bench.advertise(Image, "/tof/depth")
        image = bench.advertise(CompressedImage, "/front/image/compressed")
        assert bench.spin_until(lambda: depth.get_subscription_count() and image.get_subscription_count())
        bench.spin_for(0.3)
        stamp = STAMPS_NS[0]
        _, png = cv2.imencode(".png", RGB[..., ::-1])
        broken = picture(RGB, "rgb8", stamp)
        millimetres = depth_to_image(DEPTH_M, header=header(stamp), sensor_msgs=sensor_msgs.msg, encoding="16UC1")
        for _ in range(3):
            for publisher, message in (
                (depth, broken),
                (depth, millimetres),
                (image, CompressedImage(header=header(stamp, "elsewhere"), format="png", data=png.tobytes())),
            ):
                publisher.publish(message)
                bench.spin_for(0.25)
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        bench.close()
        process.close()
    text = "\n".join(process.lines)
    assert text.count("depth not shown: the depth image's encoding is rgb8") == 1  # not for every image
    assert "image is in frame 'elsewhere', what came first in 'camera_optical_frame'" in text
    found = rows(file)
    expected = np.where((DEPTH_M > 0) & np.isfinite(DEPTH_M), DEPTH_M, NAN)
    shown = rows_with(found, "/depth", "DepthImage:buffer")
    assert shown
    for _, row in shown:
        np.testing.assert_allclose(pixels(row, "DepthImage", np.float32), expected, atol=1e-6)
    for _, row in rows_with(found, "/image", "Image:buffer"):
        np.testing.assert_array_equal(pixels(row, "Image", np.uint8, 3), RGB)
    assert not [row for _, _, row in found if "Pinhole:resolution" in row]
    assert views(file) == {"image": "2D", "depth": "2D"}


def test_a_camera_info_that_was_published_once_and_kept_is_found_and_read_with_k(tmp_path):
    domain, file = next_domain(), tmp_path / "latched.rrd"
    bench = TestBench(domain)
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = camera_to_camera_info(CAMERA, header=header(STAMPS_NS[0]), sensor_msgs=sensor_msgs.msg)
    info.p[0] = info.p[5] = 210.0  # of rectified images, which these are not by their name
    bench.advertise(CameraInfo, "depth/camera_info", kept).publish(info)
    process = start_view("--save", file, environment=ros_environment(tmp_path, domain))
    try:
        depth = bench.advertise(Image, "depth/image")
        process.wait_for("watching")
        assert bench.spin_until(lambda: depth.get_subscription_count())
        for _ in range(6):
            depth.publish(picture(DEPTH_M, "32FC1", STAMPS_NS[0]))
            bench.spin_for(0.4)
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        bench.close()
        process.close()
    ((_, row),) = rows_with(rows(file), "/depth", "Pinhole:image_from_camera")
    assert first(row, "Pinhole:image_from_camera")[0] == CAMERA.fx
    assert views(file) == {"depth in space": "3D", "depth": "2D"}


@pytest.mark.parametrize(
    ("topic", "option", "focal_px"),
    [("/cam/image_rect", [], 210.0), ("/cam/image_rect", ["--no-rectified"], 300.0)],
)
def test_an_image_that_is_named_as_rectified_has_the_camera_of_p(tmp_path, topic, option, focal_px):
    domain, file = next_domain(), tmp_path / "rectified.rrd"
    bench = TestBench(domain)
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=300.0)
    info = camera_to_camera_info(camera, header=header(STAMPS_NS[0]), sensor_msgs=sensor_msgs.msg)
    info.p[0] = info.p[5] = 210.0
    bench.advertise(CameraInfo, "/cam/camera_info", kept).publish(info)
    process = start_view(
        *("--save", file, "--image", topic, "--camera-info", "/cam/camera_info", *option),
        environment=ros_environment(tmp_path, domain),
    )
    try:
        image = bench.advertise(Image, topic)
        process.wait_for("watching")
        assert bench.spin_until(lambda: image.get_subscription_count())
        for _ in range(6):
            image.publish(picture(RGB, "rgb8", STAMPS_NS[0]))
            bench.spin_for(0.4)
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        bench.close()
        process.close()
    shown = rows_with(rows(file), "/image", "Pinhole:image_from_camera")
    assert shown
    assert first(shown[-1][1], "Pinhole:image_from_camera")[0] == pytest.approx(focal_px)
