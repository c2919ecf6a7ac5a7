"""metric3d view as a process: fed over DDS, and what it recorded read back from its file."""

import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
pytest.importorskip("rerun.chunk", reason="this rerun-sdk is too old to read recordings back")

import sensor_msgs.msg
from rclpy.qos import DurabilityPolicy, QoSProfile
from rerun import chunk
from ros_process import RosProcess, TestBench, next_domain, ros_environment
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.messages import array_to_image, camera_to_camera_info, depth_to_image, points_to_cloud
from metric3d_ros.nodes.viewer import rerun_process
from metric3d_ros.nodes.viewer.rerun_log import _thinning
from metric3d_ros.pictures import normals_to_rgb

HEIGHT, WIDTH = 4, 6
CAMERA = Camera(WIDTH, HEIGHT, fx=5.0, fy=7.0, cx=1.5, cy=2.0)
STAMPS_NS = [1_700_000_000_123_456_789, 1_700_000_001_000_000_001]
NAN = np.nan
DEPTH_M = np.arange(1, 25, dtype=np.float32).reshape(HEIGHT, WIDTH) / 4
DEPTH_M[0, 0], DEPTH_M[0, 1], DEPTH_M[3, 5] = NAN, np.inf, 0.0
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
POINTS = np.dstack([np.full_like(DEPTH_M, 0.5), np.full_like(DEPTH_M, -0.25), np.arange(24.0).reshape(4, 6) + 1])
POINTS = POINTS.astype(np.float32)
POINTS[1, 2] = NAN


def header(stamp_ns, frame_id="camera_optical_frame"):
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return made


def picture(array, encoding, stamp_ns, **fields):
    return array_to_image(array, encoding, header=header(stamp_ns, **fields), sensor_msgs=sensor_msgs.msg)


def start_view(*arguments, environment):
    return RosProcess([sys.executable, "-m", "metric3d_ros.cli", "view", *map(str, arguments)], environment)


def rows(file, store=None):
    """Return the recording's rows: entity, stamp in nanoseconds (None where static), and its components' values."""
    found = []
    for piece in chunk.RrdReader(file).stream(store=store).to_chunks():
        batch = piece.to_record_batch()
        for i in range(batch.num_rows):
            row = {name: batch.column(name)[i] for name in batch.schema.names}
            stamp = row["stamp"].value if "stamp" in row else None
            found.append((piece.entity_path, stamp, row))
    return found


def rows_with(found, entity, component):
    """Return (stamp, row) of one entity where it has this component."""
    return [(stamp, row) for path, stamp, row in found if path == entity and component in row]


def first(row, component):
    """Return what a row's component holds: its first and only instance."""
    return row[component].as_py()[0]


def pixels(row, archetype, dtype, *channels):
    data = np.array(row[f"{archetype}:buffer"].values[0].as_py(), np.uint8).view(dtype)
    return data.reshape(HEIGHT, WIDTH, *channels)


def views(file):
    """Return the last layout's views: name to kind."""
    layouts = []
    for store in chunk.RrdReader(file).blueprints():
        kinds = {first(r, "ViewBlueprint:display_name"): first(r, "ViewBlueprint:class_identifier")
                 for _, _, r in rows(file, store) if "ViewBlueprint:class_identifier" in r}  # fmt: skip
        layouts.append(kinds)
    return max(layouts, key=len)


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
        subscribed = lambda: all(publisher.get_subscription_count() for publisher in publish.values())  # noqa: E731
        assert bench.spin_until(subscribed)
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


def test_a_camera_info_that_was_published_once_and_kept_is_found(tmp_path):
    domain, file = next_domain(), tmp_path / "latched.rrd"
    bench = TestBench(domain)
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = camera_to_camera_info(CAMERA, header=header(STAMPS_NS[0]), sensor_msgs=sensor_msgs.msg)
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
    assert rows_with(rows(file), "/depth", "Pinhole:resolution")
    assert views(file) == {"depth in space": "3D", "depth": "2D"}


def viewer_of(process):
    return next(child for child in psutil.Process(process.pid).children() if child.name() == "rerun")


def page_of(process):
    return process.wait_for("watching").rpartition(" ")[2]


def test_the_web_viewer_serves_its_page_to_this_machine_only_and_ends_with_the_node(tmp_path):
    process = start_view("--web", environment=ros_environment(tmp_path, next_domain()))
    try:
        page = page_of(process)
        assert page.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(page, timeout=10) as answer:
            assert answer.status == 200
            assert b"<canvas" in answer.read()
        viewer = viewer_of(process)
        listening = [each.laddr for each in viewer.net_connections("inet") if each.status == psutil.CONN_LISTEN]
        assert len(listening) == 2
        assert {address.ip for address in listening} == {"127.0.0.1"}
        process.signal(signal.SIGINT)
        assert process.wait() == 0
        assert not viewer.is_running()
    finally:
        process.close()


def test_a_page_opened_from_another_machine_may_fetch_the_data(tmp_path):
    process = start_view("--web", "--host", "0.0.0.0", environment=ros_environment(tmp_path, next_domain()))
    try:
        page = urllib.parse.urlparse(page_of(process))
        assert page.hostname == socket.gethostname().lower()
        data = urllib.parse.urlparse(urllib.parse.parse_qs(page.query)["url"][0])
        for origin in (f"http://robot.local:{page.port}", f"http://192.168.7.7:{page.port}"):
            question = urllib.request.Request(
                f"http://127.0.0.1:{data.port}/",
                method="OPTIONS",
                headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
            )
            with urllib.request.urlopen(question, timeout=10) as answer:
                assert answer.headers["access-control-allow-origin"] in (origin, "*")
    finally:
        process.close()


def test_a_taken_port_is_avoided_and_even_a_killed_node_leaves_no_viewer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start_view("--web", "--web-port", port, environment=ros_environment(tmp_path, next_domain()))
        try:
            assert f":{port}/" not in page_of(process)
            viewer = viewer_of(process)
            process.signal(signal.SIGKILL)
            process.wait()
            assert not psutil.wait_procs([viewer], timeout=10)[1]
        finally:
            process.close()


def test_a_viewer_that_takes_nothing_loses_messages_and_not_the_node(tmp_path):
    domain = next_domain()
    process = start_view("--web", environment=ros_environment(tmp_path, domain))
    bench = TestBench(domain)
    viewer = None
    try:
        page_of(process)
        viewer = viewer_of(process)
        depth = bench.advertise(Image, "depth/image")
        assert bench.spin_until(lambda: depth.get_subscription_count())
        noise = np.random.default_rng(0).random((1000, 1000), np.float32) + 1
        message = picture(noise, "32FC1", STAMPS_NS[0])
        viewer.suspend()

        def send_until(text):
            deadline = time.monotonic() + 30
            while text not in "\n".join(process.lines):
                assert time.monotonic() < deadline, process.lines
                depth.publish(message)
                bench.spin_for(0.1)

        send_until("the viewer takes nothing: dropping what comes")
        bench.spin_for(0.5)
        depth.publish(message)
        bench.spin_for(0.2)
        viewer.resume()
        bench.spin_for(0.5)
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        if viewer is not None and viewer.is_running():
            viewer.resume()
        bench.close()
        process.close()
    dropped = int(process.lines[-1].partition("; ")[2].split()[0])
    assert dropped > 0


def test_a_viewer_that_dies_ends_the_node_with_the_reason(tmp_path):
    process = start_view("--web", environment=ros_environment(tmp_path, next_domain()))
    try:
        page_of(process)
        viewer_of(process).kill()
        assert process.wait() == 1
    finally:
        process.close()
    assert "the Rerun viewer ended with exit code -9" in "\n".join(process.lines)


def fail_to_view(*arguments, environment=None):
    """Run `metric3d view` where it cannot start; return its exit code and standard error."""
    bare = {name: value for name, value in os.environ.items() if name not in rerun_process._DISPLAY_VARIABLES}
    command = [sys.executable, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment or bare, check=False)
    return result.returncode, result.stderr.strip()


VIEW = ("-m", "metric3d_ros.cli", "view")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*VIEW, "--save", "/nowhere/at/all.rrd"], "cannot write /nowhere/at/all.rrd (No such file or directory)"),
        ([*VIEW, "--web", "--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
        ([*VIEW, "--save", "/dev/null", "--max-points", "0"], "--max-points is 0, expected at least 1"),
        ([*VIEW, "--save", "/dev/null", "--ros-args", "-p", "a"], "ROS 2 cannot start"),
        pytest.param(
            VIEW,
            "there is no display for Rerun's window (neither DISPLAY nor WAYLAND_DISPLAY is set): watch in a browser "
            "with --web (make demo: VIEWER=web)",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="a window needs no variable elsewhere"),
        ),
    ],
)
def test_what_cannot_be_shown_is_one_line_with_the_remedy(arguments, message):
    code, text = fail_to_view(*arguments)
    assert code == 1
    assert message in text
    assert len(text.splitlines()) == 1


def test_missing_rerun_is_one_line_with_the_remedy():
    code, text = fail_to_view(
        "-c",
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'rerun' else find(name, *more)\n"
        "from metric3d_ros.cli import main; sys.exit(main(['view']))",
    )
    assert code == 1
    assert len(text.splitlines()) == 1
    assert "pip install '.[viewer]'" in text


@pytest.mark.parametrize(("version", "usable"), [("0.29.9", False), ("0.30.0", True), ("1.0.0rc1", True)])
def test_an_old_rerun_is_refused_with_the_version_that_is_needed(monkeypatch, version, usable):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    told = rerun_process.explain_missing_rerun()
    assert (told is None) == usable
    assert usable or "rerun-sdk is 0.29.9, expected 0.30 or newer" in told


def test_the_setup_asks_for_the_version_that_the_code_needs():
    least = ".".join(map(str, rerun_process.LEAST_VERSION))
    assert f'"viewer": ["rerun-sdk>={least}"]' in (Path(__file__).parents[3] / "setup.py").read_text()


def test_a_display_of_either_kind_is_enough():
    rerun_process.check_display({"WAYLAND_DISPLAY": "wayland-0"})
    rerun_process.check_display({"DISPLAY": ":0"})
    if sys.platform == "linux":
        with pytest.raises(ConfigurationError, match="VIEWER=web"):
            rerun_process.check_display({"DISPLAY": ""})


@pytest.mark.parametrize(
    ("size_hw", "steps", "left"),
    [((10, 20), (1, 1), 200), ((20, 20), (2, 2), 100), ((1, 500), (1, 3), 167), ((41, 10), (2, 2), 105)],
)
def test_large_clouds_are_thinned_evenly(size_hw, steps, left):
    assert _thinning(size_hw, 200) == steps
    assert np.empty(size_hw)[:: steps[0], :: steps[1]].size == left


@pytest.mark.parametrize(
    ("topic", "option", "focal_px"),
    [("/cam/image_rect", [], 210.0), ("/cam/image_rect", ["--no-rectified"], 300.0), ("/cam/image", [], 300.0)],
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
