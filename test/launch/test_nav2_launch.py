"""nav2.launch.py with real launch and a stand-in for Nav2's own launch file, which prints what it is given."""

import re
from functools import partial
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed: it comes with a ROS 2 installation")

from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from ros_process import TestBench

PRINT = """
from launch import LaunchDescription
from launch.actions import LogInfo, OpaqueFunction

def show(context):
    return [LogInfo(msg=f"nav2 gets {name}={value}.") for name, value in context.launch_configurations.items()]

def generate_launch_description():
    return LaunchDescription([OpaqueFunction(function=show)])
"""

ROBOT = {
    "local_costmap": {
        "local_costmap": {
            "ros__parameters": {
                "robot_radius": 0.17,
                "plugins": ["voxel_layer", "inflation_layer"],
                "inflation_layer": {"plugin": "nav2_costmap_2d::InflationLayer", "inflation_radius": 0.33},
            }
        }
    },
    "controller_server": {"ros__parameters": {"controller_frequency": 20.0}},
}


@pytest.fixture
def launch(launch_file):
    """Return a function that launches nav2.launch.py with arguments."""
    return partial(launch_file, "nav2.launch.py")


@pytest.fixture
def nav2(prefix):
    """Nav2's bringup, installed for this test."""
    marker = prefix / "share/ament_index/resource_index/packages/nav2_bringup"
    share = prefix / "share/nav2_bringup"
    for folder in ("launch", "params"):
        (share / folder).mkdir(parents=True, exist_ok=True)
    (share / "launch/navigation_launch.py").write_text(PRINT)
    (share / "params/nav2_params.yaml").write_text(yaml.safe_dump(ROBOT))
    marker.touch()
    yield
    marker.unlink()


def merged_file(process):
    line = process.wait_for("nav2 gets params_file=")
    return yaml.safe_load(Path(re.search(r"params_file=(.+)\.$", line).group(1)).read_text())


def test_depth_node_gets_parameters_for_costmaps_and_the_cameras_height(launch, model, domain):
    process = launch(model=model, image="/eye/image_raw", camera_height="0.35")
    process.wait_for("ready: waiting for /eye/image_raw and /eye/camera_info")
    bench = TestBench(domain)
    try:
        client = bench.node.create_client(GetParameters, "/depth_node/get_parameters")
        assert client.wait_for_service(20)
        names = ["scale.camera_height_m", "edges.remove", "obstacles.max_height_m", "points.fields"]
        future = client.call_async(GetParameters.Request(names=names))
        bench.spin_until(future.done, timeout_s=20)
        assert [parameter_value_to_python(value) for value in future.result().values] == [0.35, True, 1.5, "xyz"]
    finally:
        bench.close()


def test_nav2_gets_the_robots_own_parameters_with_the_layers_of_depth(launch, nav2, model):
    process = launch(model=model, nav2="true", use_sim_time="true", points="/pipeline/points")
    merged = merged_file(process)
    costmap = merged["local_costmap"]["local_costmap"]["ros__parameters"]
    assert costmap["plugins"] == ["depth_layer", "inflation_layer"]
    assert costmap["robot_radius"] == 0.17
    assert costmap["inflation_layer"]["inflation_radius"] == 0.33
    layer = costmap["depth_layer"]
    assert layer["observation_sources"].split() == ["obstacles", "floor"]
    assert (layer["obstacles"]["topic"], layer["floor"]["topic"]) == ("/points/obstacles", "/pipeline/points")
    assert merged["controller_server"] == ROBOT["controller_server"]
    process.wait_for("nav2 gets use_sim_time=true.")
    assert not [line for line in process.lines if "nav2 gets model=" in line]


def test_missing_nav2_and_files_that_are_none_are_named_with_the_remedy(launch, model, nav2, tmp_path):
    process = launch(model=model, nav2="true", nav2_params_file=tmp_path / "none.yaml")
    process.wait_for("which is not a file")
    assert process.wait() != 0
    (tmp_path / "other.yaml").write_text("amcl: {ros__parameters: {}}")
    process = launch(model=model, nav2="true", nav2_params_file=tmp_path / "other.yaml")
    process.wait_for("names a file without local_costmap")
    assert process.wait() != 0


def test_without_nav2_the_package_is_named(launch, model):
    process = launch(model=model, nav2="true")
    process.wait_for("nav2_bringup is not installed: sudo apt install")
    assert process.wait() != 0
