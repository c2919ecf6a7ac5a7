"""Starts depth_node for several cameras: one node with one model for all of them, or a process for each.

ros2 launch metric3d_ros multi_camera.launch.py cameras:=front,left,right image:='/{camera}/image_raw'
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "metric3d_ros"
SHARE = Path(get_package_share_directory(PACKAGE))

# Name, default, description. An empty default leaves the value to params_file.
ARGUMENTS = [
    ("cameras", "front,left,right", "names of the cameras, with commas; each has its outputs under its name"),
    ("image", "{camera}/image_raw", "topic of a camera's images; {camera} stands for its name"),
    ("camera_info", "", "topic of their camera_info; by default the one beside the images"),
    ("camera_info_url", "", "calibration file in place of camera_info; {camera} stands for the camera's name"),
    ("one_node", "true", "one node, one model in memory, images in batches; false starts a process for each camera"),
    ("namespace", "", "namespace of everything"),
    ("params_file", str(SHARE / "config" / "depth.yaml"), "YAML file with depth_node's parameters"),
    ("model", "", "ONNX file, or demo for the one that comes with the package"),
    ("provider", "", "where the model runs: auto, tensorrt, cuda, openvino or cpu"),
    ("inference_size", "", "size the network sees: native, trained, WIDTHxHEIGHT or megapixels such as 0.5MP"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("use_sim_time", "false", "take the time from /clock"),
    ("respawn", "false", "start depth_node again when it dies"),
    ("shared_memory_mib", "", "size of Fast DDS's shared memory for large messages; 0 leaves Fast DDS as it is"),
    ("keep_buffers", "true", "let the C allocator keep large buffers, which makes large messages cheaper"),
]
FOR_EACH_PROCESS = [
    "params_file",
    "model",
    "provider",
    "inference_size",
    "log_level",
    "use_sim_time",
    "respawn",
    "shared_memory_mib",
    "keep_buffers",
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
    if read_flag("one_node", values["one_node"]):
        return [start_one_node(values, topics)]
    return [start_process(values, name, *topics[name]) for name in names]


def camera_topics(values: dict[str, str], name: str) -> tuple[str, str]:
    """Return the topics of a camera's images and camera_info."""
    image = values["image"].replace("{camera}", name)
    beside = image.rpartition("/")[0] + "/" * ("/" in image) + "camera_info"
    return image, values["camera_info"].replace("{camera}", name) or beside


def start_one_node(values: dict[str, str], topics: dict[str, tuple[str, str]]) -> Node:
    """Return one depth_node that serves all cameras."""
    remappings = []
    for name, (image, camera_info) in topics.items():
        remappings += [(f"{name}/image", image), (f"{name}/camera_info", camera_info)]
    transport = [] if read_flag("keep_buffers", values["keep_buffers"]) else ["--no-keep-buffers"]
    if values["shared_memory_mib"]:
        transport += ["--shared-memory-mib", values["shared_memory_mib"]]
    chosen = {name: values[name] for name in ("model", "provider", "inference_size") if values[name]}
    if values["camera_info_url"]:
        chosen["camera_info_url"] = values["camera_info_url"].replace("{camera}", "${NAME}")
    clock = {"use_sim_time": read_flag("use_sim_time", values["use_sim_time"])}
    return Node(
        package=PACKAGE,
        executable="depth_node",
        name="depth_node",
        namespace=values["namespace"],
        parameters=[read_params_file(values["params_file"]), {"cameras": list(topics)} | chosen | clock],
        remappings=remappings,
        arguments=transport,
        ros_arguments=["--log-level", values["log_level"]],
        respawn=read_flag("respawn", values["respawn"]),
        respawn_delay=2.0,
        output="screen",
    )


def start_process(values: dict[str, str], name: str, image: str, camera_info: str) -> IncludeLaunchDescription:
    """Return a depth_node of its own for one camera, with the same topics as in one node."""
    # Relative topics would be resolved inside the camera's own namespace.
    outer = f"/{values['namespace'].strip('/')}/" if values["namespace"].strip("/") else "/"
    given = {argument: values[argument] for argument in FOR_EACH_PROCESS}
    given["namespace"] = outer + name
    given["camera_info_url"] = values["camera_info_url"].replace("{camera}", name).replace("${NAME}", name)
    given["image"] = image if image.startswith("/") else outer + image
    given["camera_info"] = camera_info if camera_info.startswith("/") else outer + camera_info
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "depth.launch.py")), launch_arguments=given.items()
    )


def read_flag(name: str, text: str) -> bool:
    """Return the truth that an argument's text stands for."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise ValueError(f"launch argument {name} is '{text}', expected true or false")
    return words[text.lower()]


def read_params_file(path: str) -> str:
    """Return the path of a file that exists: launch itself would start the node with defaults in place of the file."""
    if not Path(path).expanduser().is_file():
        raise ValueError(f"launch argument params_file is '{path}', which is no file: give the path of a YAML file")
    return str(Path(path).expanduser())
