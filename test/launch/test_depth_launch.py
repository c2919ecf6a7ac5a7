"""depth.launch.py with real launch: what it starts, how arguments reach the nodes, and how it ends."""

import os
import shutil
import signal
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed: it comes with a ROS 2 installation")

import tiny_models
from ros_process import RosProcess, TestBench, next_domain, ros_environment
from sensor_msgs.msg import Image

from metric3d_ros.recordings.images import write_rgb

ROOT = Path(__file__).parents[2]

DRIVER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

path, *arguments = sys.argv[1:]
included = IncludeLaunchDescription(
    AnyLaunchDescriptionSource(path), launch_arguments=[argument.split(":=", 1) for argument in arguments]
)
service = LaunchService(noninteractive=True)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""

PRINT_ARGUMENTS = """#!/bin/sh
echo "arguments: $*"
"""


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An ament prefix as an installation makes it, of the sources under test; its rviz2 prints what it is given."""
    prefix = tmp_path_factory.mktemp("prefix")
    index, share = prefix / "share/ament_index/resource_index/packages", prefix / "share/metric3d_ros"
    index.mkdir(parents=True)
    for package in ("metric3d_ros", "rviz2"):
        (index / package).touch()
    for name in ("launch", "config"):
        shutil.copytree(ROOT / name, share / name)
    shutil.copy(ROOT / "package.xml", share)
    shutil.copytree(ROOT / "resource/executables", prefix / "lib/metric3d_ros")
    write_program(prefix / "bin/python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    write_program(prefix / "lib/rviz2/rviz2", PRINT_ARGUMENTS)
    return prefix


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def domain():
    return next_domain()


@pytest.fixture
def launch(tmp_path, prefix, domain):
    """Return a function that launches depth.launch.py with arguments and is undone after the test."""
    prefixes = os.pathsep.join([str(prefix), os.environ.get("AMENT_PREFIX_PATH") or sys.prefix])
    environment = ros_environment(tmp_path / "log", domain, AMENT_PREFIX_PATH=prefixes, PYTHONUNBUFFERED="1")
    path = prefix / "share/metric3d_ros/launch/depth.launch.py"
    started = []

    def start(**arguments):
        words = [f"{name}:={value}" for name, value in arguments.items()]
        started.append(RosProcess([sys.executable, "-c", DRIVER, str(path), *words], environment))
        return started[-1]

    yield start
    for process in started:
        process.close()


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


def test_flag_that_is_neither_true_nor_false_is_refused(launch):
    process = launch(rviz="maybe")
    process.wait_for("launch argument rviz is 'maybe', expected true or false")
    assert process.wait() != 0
