"""What reaches the nodes of each launch file: settings of an including launch file, of files, of arguments."""

import os
import re
import signal
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed: it comes with a ROS 2 installation")

from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from ros_process import TestBench

ROOT = Path(__file__).parents[2]
DEPTH, SEVERAL, RTABMAP, NAV2 = "depth.launch.py", "multi_camera.launch.py", "rtabmap.launch.py", "nav2.launch.py"

INCLUDE = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushROSNamespace, SetParameter, SetRemap

def generate_launch_description():
    around = [{around}]
    include = IncludeLaunchDescription(
        PythonLaunchDescriptionSource({path!r}), launch_arguments=list({arguments!r}.items())
    )
    return LaunchDescription([GroupAction([*around, include])])
"""

FORMS = [
    pytest.param(DEPTH, {}, "/depth_node", id="one camera"),
    pytest.param(SEVERAL, {"cameras": "front"}, "/depth_node", id="several cameras in one node"),
    pytest.param(SEVERAL, {"cameras": "front", "one_node": "false"}, "/front/depth_node", id="a process for each"),
    pytest.param(RTABMAP, {}, "/depth_node", id="RTAB-Map"),
    pytest.param(NAV2, {}, "/depth_node", id="Nav2"),
]
"""A launch file, arguments, and the full name that its node then has."""
WITHOUT_FILE = FORMS[:-1]
"""Those that set no parameters of their own; that for Nav2 has a file of them."""


@pytest.fixture
def include(launch_file, prefix, tmp_path, model, rtabmap):
    """Return a function that launches a file from another one, which has `around` before it in a group."""

    def start(file, around, **arguments):
        path = prefix / "share/metric3d_ros/launch" / file
        outer = tmp_path / "outer.launch.py"
        outer.write_text(INCLUDE.format(around=around, path=str(path), arguments={"model": str(model), **arguments}))
        return launch_file(str(outer))

    return start


def read(bench, node_name, *names):
    values = bench.call(GetParameters, f"{node_name}/get_parameters", GetParameters.Request(names=names)).values
    return [parameter_value_to_python(value) for value in values]


@pytest.mark.parametrize(("file", "arguments", "node_name"), WITHOUT_FILE)
def test_parameters_that_are_set_around_an_include_hold(include, bench, file, arguments, node_name):
    around = "SetParameter('depth.max_m', 4.0), SetParameter('use_sim_time', True), SetParameter('points.stride', 2)"
    include(file, around, **arguments).wait_for("ready")
    assert read(bench, node_name, "depth.max_m", "use_sim_time", "points.stride") == [4.0, True, 2]


@pytest.mark.parametrize(("file", "arguments", "node_name"), FORMS)
def test_namespace_that_is_pushed_around_an_include_holds(include, file, arguments, node_name):
    process = include(file, "PushROSNamespace('robot')", image="eye/image", **arguments)
    process.wait_for("ready: waiting for /robot/eye/image and /robot/eye/camera_info")
    process.wait_for(f"robot{node_name}".replace("/", ".") + "]: ready")


@pytest.mark.parametrize(("file", "arguments", "node_name"), FORMS)
def test_environment_that_is_set_around_an_include_holds(include, file, arguments, node_name):
    process = include(file, "SetEnvironmentVariable('METRIC3D_SHARED_MEMORY_MIB', '0')", **arguments)
    process.wait_for("transport: Fast DDS left as it is, as asked for")


def test_remapping_that_is_set_around_an_include_holds(include):
    process = include(DEPTH, "SetRemap('image', '/eye/image'), SetRemap('camera_info', '/eye/info')")
    process.wait_for("ready: waiting for /eye/image and /eye/info")


@pytest.mark.parametrize(("file", "arguments", "node_name"), FORMS)
def test_parameter_file_keeps_what_no_argument_sets(include, bench, tmp_path, file, arguments, node_name):
    path = tmp_path / "mine.yaml"
    path.write_text("/**:\n  ros__parameters:\n    use_sim_time: true\n    depth: {max_m: 4.0}\n    max_batch: 2\n")
    process = include(file, "", params_file=str(path), **arguments)
    process.wait_for(f"parameter file {path} sets depth.max_m, max_batch")
    process.wait_for("ready")
    assert read(bench, node_name, "depth.max_m", "use_sim_time", "max_batch") == [4.0, True, 2]


@pytest.mark.parametrize(("file", "arguments", "node_name"), WITHOUT_FILE)
def test_nothing_is_set_that_nobody_has_set(include, bench, file, arguments, node_name):
    process = include(file, "", **arguments)
    process.wait_for("ready")
    command = next(line for line in process.lines if "parameter file" in line)
    assert command.endswith(" sets cameras, model" if "cameras" in arguments and len(arguments) == 1 else " sets model")
    assert read(bench, node_name, "use_sim_time") == [False]
    assert not [line for line in process.lines if "[WARN]" in line]


@pytest.mark.parametrize(("file", "arguments", "node_name"), FORMS)
def test_arguments_for_the_images_reach_the_node(include, bench, file, arguments, node_name):
    process = include(file, "", image="/eye/image", image_transport="compressed", rectified="true", **arguments)
    process.wait_for("ready: waiting for /eye/image/compressed and /eye/camera_info")
    assert read(bench, node_name, "image_transport") == ["compressed"]
    assert str(read(bench, node_name, "rectified")[0]).lower() == "true"


@pytest.mark.parametrize(("file", "arguments", "node_name"), FORMS)
def test_default_camera_info_of_compressed_images_is_beside_their_raw_topic(include, file, arguments, node_name):
    process = include(file, "", image="/eye/image/compressed", **arguments)
    process.wait_for("ready: waiting for /eye/image/compressed and /eye/camera_info")


def test_use_sim_time_reaches_the_node_where_it_is_an_argument(include, bench):
    include(DEPTH, "SetParameter('use_sim_time', True)", use_sim_time="false").wait_for("ready")
    assert read(bench, "/depth_node", "use_sim_time") == [False]


def test_node_that_comes_back_has_all_that_was_set_around_its_include(include, domain):
    around = "PushROSNamespace('robot'), SetParameter('depth.max_m', 4.0), SetRemap('camera_info', '/info'), "
    around += "SetEnvironmentVariable('METRIC3D_SHARED_MEMORY_MIB', '0')"
    process = include(DEPTH, around, respawn="true", image="/eye/image")
    process.wait_for("ready: waiting for /eye/image and /info")
    pid = int(process.wait_for("process started with pid").split("[")[-1].rstrip("]"))
    before = len(process.lines)
    os.kill(pid, signal.SIGKILL)
    process.wait_for("starting it again in 2 s", after=before)
    process.wait_for("transport: Fast DDS left as it is, as asked for", after=before)
    process.wait_for("ready: waiting for /eye/image and /info", after=before)
    # Made now only: whoever knew the node that was killed would call that one as well.
    late_bench = TestBench(domain)
    try:
        assert read(late_bench, "/robot/depth_node", "depth.max_m") == [4.0]
    finally:
        late_bench.close()


def documented_files():
    """Return each parameter file for depth_node that the guide and the README show."""
    text = "".join((ROOT / name).read_text() for name in ("README.md", "docs/integration.md"))
    blocks = re.findall(r"```yaml\n(.+?)```", text, re.DOTALL)
    return [block for block in blocks if "ros__parameters" in block and "local_costmap" not in block]


DOCUMENTED = documented_files()


@pytest.mark.parametrize(("file", "arguments", "node_name"), FORMS)
@pytest.mark.parametrize("text", DOCUMENTED, ids=range(len(DOCUMENTED)))
def test_documented_parameter_files_work_under_every_name(include, bench, tmp_path, text, file, arguments, node_name):
    (section,) = yaml.safe_load(text).values()
    (tmp_path / "documented.yaml").write_text(text)
    process = include(file, "PushROSNamespace('robot')", params_file=str(tmp_path / "documented.yaml"), **arguments)
    process.wait_for(f"documented.yaml sets {next(iter(section['ros__parameters']))}")
    process.wait_for("ready")
    assert not [line for line in process.lines if "[WARN]" in line]


def test_shown_parameters_work_once_they_are_uncommented(include, bench, tmp_path):
    shown = (ROOT / "config/depth.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(shown.replace("# depth.max_m: 0.0", "depth.max_m: 4.0"))
    process = include(DEPTH, "", params_file=str(tmp_path / "mine.yaml"), namespace="front")
    process.wait_for("mine.yaml sets depth.max_m")
    process.wait_for("ready")
    assert read(bench, "/front/depth_node", "depth.max_m") == [4.0]
