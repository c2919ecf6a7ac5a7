"""depth.launch.py with real launch: what it starts, how arguments reach the nodes, and how it ends."""

import os
import signal
from functools import partial

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed: it comes with a ROS 2 installation")

from ros_process import TestBench
from sensor_msgs.msg import Image

from metric3d_ros.recordings.images import write_rgb


@pytest.fixture
def launch(launch_file):
    """Return a function that launches depth.launch.py with arguments."""
    return partial(launch_file, "depth.launch.py")


def test_images_are_played_into_the_node_and_everything_ends_with_one_interrupt(launch, model, tmp_path, domain):
    for number in range(2):
        write_rgb(tmp_path / f"frames/frame_{number}.png", np.full((48, 64, 3), 100, np.uint8))
    bench = TestBench(domain)
    try:
        depth = bench.listen(Image, "/front/depth/image")
        process = launch(model=model, namespace="front", images=tmp_path / "frames", focal=500, rate=20)
        process.wait_for("ready: waiting for /front/image and /front/camera_info")
        assert bench.spin_until(lambda: len(depth) > 2)
        assert depth[0].header.frame_id == "camera_optical_frame"
        process.signal(signal.SIGINT)
        assert process.wait(timeout_s=15) == 0
    finally:
        bench.close()
    cleanly = [line for line in process.lines if "process has finished cleanly" in line]
    assert len(cleanly) == 2, "\n".join(process.lines)
    assert not [line for line in process.lines if "Traceback" in line or "[ERROR]" in line]


def test_camera_info_is_taken_from_beside_the_images(launch, model):
    process = launch(model=model, image="/camera/color/image_raw")
    process.wait_for("ready: waiting for /camera/color/image_raw and /camera/color/camera_info")


def test_calibration_file_reaches_the_node_or_the_player(launch, model, tmp_path):
    content = "image_width: 64\nimage_height: 48\ncamera_matrix: [70, 0, 31.5, 0, 70, 23.5, 0, 0, 1]\n"
    (tmp_path / "camera.yaml").write_text(content)
    write_rgb(tmp_path / "frames/frame.png", np.full((48, 64, 3), 100, np.uint8))
    launch(model=model, camera_info_url=tmp_path / "camera.yaml").wait_for("the camera of /image is described by")
    process = launch(model=model, camera_info_url=tmp_path / "camera.yaml", images=tmp_path / "frames")
    process.wait_for("ready: waiting for /image and /camera_info")
    process.wait_for("playing")


def test_topics_parameters_and_log_level_reach_the_node(launch, model, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"/**:\n  ros__parameters:\n    model: {model}\n    hfov_deg: 70.0\n")
    process = launch(params_file=tmp_path / "mine.yaml", image="/eye", camera_info="/eye_info", log_level="warn")
    process.wait_for("the camera of /eye is described by a parameter")
    assert not [line for line in process.lines if "[depth_node]" in line and "[INFO]" in line]


def test_argument_wins_over_the_parameter_file(launch, model, tmp_path):
    (tmp_path / "mine.yaml").write_text("/**:\n  ros__parameters:\n    model: /nowhere.onnx\n    hfov_deg: 70.0\n")
    launch(params_file=tmp_path / "mine.yaml", model=model).wait_for("ready: waiting for /image")


def test_transport_can_be_switched_off(launch, model):
    process = launch(model=model, shared_memory_mib=0, keep_buffers="false")
    process.wait_for("transport: Fast DDS left as it is, as asked for; allocator left as it is")


def test_model_that_is_missing_is_said_in_one_line(launch):
    process = launch(model="/nowhere.onnx")
    assert "[FATAL]" in process.wait_for("model file /nowhere.onnx does not exist")
    process.wait_for("process has died")


def test_respawn_waits_longer_each_time_for_a_node_that_ends_at_once(launch):
    process = launch(model="/nowhere.onnx", respawn="true")
    for seconds in (2, 4):
        process.wait_for(f"depth_node ended with exit code 1: starting it again in {seconds} s")
    starts = [line for line in process.lines if "process started with pid" in line]
    assert len(starts) == 2
    process.signal(signal.SIGINT)
    assert process.wait(timeout_s=15) == 0


def test_respawn_brings_a_killed_node_back(launch, model):
    process = launch(model=model, respawn="true")
    process.wait_for("ready")
    pid = int(process.wait_for("process started with pid").split("[")[-1].rstrip("]"))
    before = len(process.lines)
    os.kill(pid, signal.SIGKILL)
    process.wait_for("ready", after=before)


def test_rviz_shows_the_topics_of_the_namespace_in_the_images_frame(launch, model):
    process = launch(model=model, rviz="true", namespace="front", image="/camera/image_raw", fixed_frame="optical")
    arguments = process.wait_for("arguments: ")
    assert "config/depth.rviz -f optical" in arguments
    for remapped in ["/image:=/camera/image_raw", "/points:=/front/points", "/depth/image:=/front/depth/image"]:
        assert f"-r {remapped}" in arguments


def test_missing_rviz_is_named_before_anything_starts(launch, model, prefix):
    entry = prefix / "share/ament_index/resource_index/packages/rviz2"
    entry.unlink()
    try:
        process = launch(model=model, rviz="true")
        process.wait_for("rviz2 is not installed: sudo apt install")
        assert process.wait() != 0
    finally:
        entry.touch()
    assert not [line for line in process.lines if "process started" in line]


def test_flag_that_is_neither_true_nor_false_is_refused(launch):
    process = launch(rviz="maybe")
    process.wait_for("launch argument rviz is 'maybe', expected true or false")
    assert process.wait() != 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"images": "folder", "focal": 500, "image_transport": "compressed"}, "expected raw: images are played raw"),
        ({"use_sim_time": "maybe"}, "launch argument use_sim_time is 'maybe', expected true or false"),
        ({"keep_buffers": "maybe"}, "launch argument keep_buffers is 'maybe', expected true or false"),
        ({"images": "folder", "focal": "wide"}, "launch argument focal is 'wide', expected a number"),
        ({"images": "folder"}, "launch argument images needs one of focal (pixels) and camera_info_url"),
        ({"images": "folder", "focal": 500, "rate": "2 Hz"}, "launch argument rate is '2 Hz', expected a number"),
        ({"params_file": "/nowhere.yaml"}, "launch argument params_file is '/nowhere.yaml', which is not a file"),
    ],
)
def test_argument_that_cannot_be_used_is_named_before_anything_starts(launch, arguments, text):
    process = launch(**arguments)
    process.wait_for(text)
    assert process.wait() != 0
    assert not [line for line in process.lines if "process started" in line]


def test_names_of_depth_image_proc_can_be_had(launch, model):
    process = launch(
        model=model,
        rviz="true",
        image="/camera/rgb/image_rect_color",
        depth="/camera/depth_registered/image_rect",
        points="/camera/depth_registered/points",
    )
    arguments = process.wait_for("arguments: ")
    assert "-r /depth/image:=/camera/depth_registered/image_rect" in arguments
    assert "-r /points:=/camera/depth_registered/points" in arguments
    process.wait_for("ready: waiting for /camera/rgb/image_rect_color and /camera/rgb/camera_info")


@pytest.mark.parametrize(
    "arguments",
    [
        {"image": "/camera/image_raw", "depth": "/camera/depth"},
        {"namespace": "camera", "image": "image_raw", "depth": "depth"},
        {"namespace": "camera", "image": "image_raw", "depth": "/camera/depth"},
        {"image": "/camera/image_raw", "camera_info": "/elsewhere/camera_info", "depth": "/camera/depth"},
    ],
)
def test_camera_info_of_depth_keeps_off_the_cameras_own_topic(launch, model, domain, arguments):
    bench = TestBench(domain)
    try:
        process = launch(model=model, **arguments)
        process.wait_for("ready: waiting for /camera/image_raw")
        assert bench.spin_until(lambda: bench.node.count_publishers("/camera/depth/camera_info") == 1)
        assert bench.node.count_publishers("/camera/depth") == 1
        assert bench.node.count_publishers("/camera/camera_info") == 0
    finally:
        bench.close()


def test_remapped_outputs_are_published_under_their_new_names(launch, model, domain):
    bench = TestBench(domain)
    try:
        launch(model=model, depth="/camera/depth_registered/image_rect", points="cloud").wait_for("ready")
        topics = ["/camera/depth_registered/image_rect", "/camera/depth_registered/camera_info", "/cloud"]
        assert bench.spin_until(lambda: all(bench.node.count_publishers(topic) == 1 for topic in topics))
        assert bench.node.count_publishers("/depth/image") == 0
    finally:
        bench.close()
