"""Starts depth_node for several cameras: one node with one model for all of them, or a process for each.

ros2 launch metric3d_ros multi_camera.launch.py cameras:=front,left,right image:='/{camera}/image_raw'
"""

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource, load_python_launch_file_as_module
from launch.substitutions import LaunchConfiguration

ONE_CAMERA = Path(get_package_share_directory("metric3d_ros")) / "launch" / "depth.launch.py"


one_camera = load_python_launch_file_as_module(str(ONE_CAMERA))
"""What starts one camera starts several here."""

# Name, default, description.
ARGUMENTS = [
    ("cameras", "front,left,right", "names of the cameras, separated by commas; each prefixes its camera's outputs"),
    ("image", "{camera}/image_raw", "image topic of each camera; {camera} stands for its name"),
    ("camera_info", "", "camera_info topic of each camera; default: camera_info beside the image topic"),
    ("camera_info_url", "", "calibration file in place of camera_info; {camera} stands for the camera's name"),
    ("one_node", "true", "true: one node, one model, images in batches; false: one process per camera"),
    ("namespace", "", "namespace of all nodes and topics"),
    *one_camera.OF_DEPTH_NODE,
]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=start_nodes)])


def start_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes that the arguments ask for."""
    values = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    names = [name.strip() for name in values["cameras"].strip("[] ").split(",") if name.strip()]
    if not names:
        raise ValueError("launch argument cameras is empty, expected names with commas, such as front,left,right")
    if len(names) > 1 and "{camera}" not in values["image"]:
        raise ValueError(f"launch argument image is '{values['image']}', expected a topic with {{camera}} in it")
    topics = {name: camera_topics(values, name) for name in names}
    if one_camera.read_flag("one_node", values["one_node"]):
        return start_one_node(context, values, topics)
    return [start_process(context, values, name, *topics[name]) for name in names]


def camera_topics(values: dict[str, str], name: str) -> tuple[str, str]:
    """Return the topics of a camera's images and camera_info."""
    image = values["image"].replace("{camera}", name)
    return image, values["camera_info"].replace("{camera}", name) or one_camera.camera_info_beside(image)


def start_one_node(
    context: LaunchContext, values: dict[str, str], topics: dict[str, tuple[str, str]]
) -> list[LaunchDescriptionEntity]:
    """Return one depth_node that serves all cameras."""
    remappings = []
    for name, (image, camera_info) in topics.items():
        remappings += [(f"{name}/image", image), (f"{name}/camera_info", camera_info)]
    parameters: dict[str, Any] = {"cameras": list(topics)}
    if values["camera_info_url"]:
        parameters["camera_info_url"] = values["camera_info_url"].replace("{camera}", "${NAME}")
    return one_camera.depth_node(context, values, remappings=remappings, parameters=parameters)


def start_process(
    context: LaunchContext, values: dict[str, str], name: str, image: str, camera_info: str
) -> IncludeLaunchDescription:
    """Return a depth_node of its own for one camera, with the same topics as in one node."""
    # Relative topics would be resolved inside the camera's own namespace.
    outer = one_camera.full_namespace(context, values["namespace"]) + "/"
    given = {argument: values[argument] for argument, _, _ in one_camera.OF_DEPTH_NODE}
    given["namespace"] = outer + name
    given["camera_info_url"] = values["camera_info_url"].replace("{camera}", name).replace("${NAME}", name)
    given["image"] = image if image.startswith("/") else outer + image
    given["camera_info"] = camera_info if camera_info.startswith("/") else outer + camera_info
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(ONE_CAMERA)), launch_arguments=given.items())
