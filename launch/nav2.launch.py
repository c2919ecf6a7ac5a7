"""Starts depth_node for Nav2, and Nav2 itself if asked: obstacles from one camera in the local costmap.

ros2 launch metric3d_ros nav2.launch.py image:=/camera/image_raw nav2:=true
"""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.launch_description_sources import load_python_launch_file_as_module
from launch.substitutions import LaunchConfiguration

PACKAGE = "metric3d_ros"
SHARE = Path(get_package_share_directory(PACKAGE))

rtabmap = load_python_launch_file_as_module(str(SHARE / "launch" / "rtabmap.launch.py"))
"""Includes other launch files without their arguments reaching each other."""
one_camera = rtabmap.one_camera

OBSTACLES, POINTS = "points/obstacles", "points"

# Name, default, description.
ARGUMENTS = [
    ("image", "image", "image topic of the camera"),
    ("camera_info", "", "camera_info topic; default: camera_info beside the image topic"),
    ("camera_info_url", "", "calibration file in place of camera_info: a path, file:// or package://"),
    ("obstacles", f"/{OBSTACLES}", "output topic of what stands on the ground; costmaps mark it"),
    ("points", f"/{POINTS}", "output topic of all points; costmaps clear along the rays to them"),
    ("camera_height", "", "height of the camera above the ground in metres, if known: corrects the scale of depth"),
    *(argument for argument in one_camera.OF_DEPTH_NODE if argument[0] != "params_file"),
    ("params_file", str(SHARE / "config" / "nav2_depth.yaml"), "YAML file with parameters of depth_node"),
    ("nav2", "false", "start Nav2 (navigation_launch.py of nav2_bringup) with the layers of config/nav2_costmap.yaml"),
    ("nav2_params_file", "", "YAML file with Nav2's parameters; default: that of nav2_bringup"),
]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=start_nodes)])


def start_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return depth_node, and Nav2 if it is asked for."""
    values = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    values["namespace"] = ""
    image = values["image"]
    remappings = [
        ("image", image),
        ("camera_info", values["camera_info"] or one_camera.camera_info_beside(image)),
        (OBSTACLES, values["obstacles"]),
        (POINTS, values["points"]),
    ]
    parameters: dict[str, Any] = {}
    if values["camera_info_url"]:
        parameters["camera_info_url"] = values["camera_info_url"]
    if values["camera_height"]:
        parameters["scale.camera_height_m"] = one_camera.read_number("camera_height", values["camera_height"])
    started = one_camera.depth_node(context, values, remappings=remappings, parameters=parameters)
    if one_camera.read_flag("nav2", values["nav2"]):
        started += start_nav2(values)
    return started


def start_nav2(values: dict[str, str]) -> list[LaunchDescriptionEntity]:
    """Return Nav2 with the layers of depth in its local costmap."""
    try:
        bringup = Path(get_package_share_directory("nav2_bringup"))
    except PackageNotFoundError as error:
        raise RuntimeError("nav2_bringup is not installed: sudo apt install ros-$ROS_DISTRO-nav2-bringup") from error
    source = Path(values["nav2_params_file"] or bringup / "params" / "nav2_params.yaml").expanduser()
    if not source.is_file():
        raise ValueError(
            f"launch argument nav2_params_file is '{source}', which is not a file: give that of a YAML file"
        )
    layers = yaml.safe_load((SHARE / "config" / "nav2_costmap.yaml").read_text())
    merged = with_depth_layers(yaml.safe_load(source.read_text()), layers, values)
    with tempfile.NamedTemporaryFile("w", prefix="metric3d_nav2_", suffix=".yaml", delete=False) as file:
        yaml.safe_dump(merged, file, sort_keys=False)
    given = {"params_file": file.name}
    if values["use_sim_time"]:
        given["use_sim_time"] = values["use_sim_time"]
    return [
        LogInfo(msg=f"Nav2 gets {file.name}: {source} with the layers of depth in its local costmap"),
        rtabmap.included(bringup / "launch" / "navigation_launch.py", given),
    ]


def with_depth_layers(nav2: Any, layers: Any, values: dict[str, str]) -> Any:
    """Return Nav2's parameters with the layers of depth in place of those of the local costmap.

    Its other parameters stay: frames, size, footprint, and an inflation_layer of its own.
    """
    try:
        own = nav2["local_costmap"]["local_costmap"]["ros__parameters"]
        own["plugins"] = own.get("plugins", [])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            "launch argument nav2_params_file names a file without local_costmap.local_costmap.ros__parameters, where "
            "the layers of depth would go"
        ) from error
    added = layers["local_costmap"]["local_costmap"]["ros__parameters"]
    added["depth_layer"]["obstacles"]["topic"] = values["obstacles"]
    added["depth_layer"]["floor"]["topic"] = values["points"]
    own["plugins"] = added["plugins"]
    own["depth_layer"] = added["depth_layer"]
    own.setdefault("inflation_layer", added["inflation_layer"])
    return nav2
