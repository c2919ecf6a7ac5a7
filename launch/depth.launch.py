"""Starts depth_node for one camera; as options an image folder in place of the camera, and RViz.

ros2 launch metric3d_ros depth.launch.py image:=/camera/image_raw rviz:=true
"""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "metric3d_ros"
SHARE = Path(get_package_share_directory(PACKAGE))

# Name, default, description. An empty default leaves the value to params_file.
ARGUMENTS = [
    ("image", "image", "topic of the camera's images"),
    ("camera_info", "", "topic of their camera_info; by default the one beside the images"),
    ("depth", "", "topic for depth/image, such as /camera/depth_registered/image_rect; its camera_info goes beside it"),
    ("points", "", "topic to publish points on, such as /camera/depth_registered/points"),
    ("namespace", "", "namespace of the node and its outputs, such as front_camera"),
    ("params_file", str(SHARE / "config" / "depth.yaml"), "YAML file with depth_node's parameters"),
    ("model", "", "ONNX file, or demo for the one that comes with the package"),
    ("provider", "", "where the model runs: auto, tensorrt, cuda, openvino or cpu"),
    ("inference_size", "", "size the network sees: native, trained, WIDTHxHEIGHT or megapixels such as 0.5MP"),
    ("camera_info_url", "", "calibration file in place of camera_info: a path, file:// or package://"),
    ("images", "", "play this image or folder of images in place of a camera (then give focal or camera_info_url)"),
    ("focal", "", "focal length in pixels of the images that are played"),
    ("rate", "5.0", "how many images are played a second"),
    ("rviz", "false", "start RViz with image, depth, normals and points"),
    ("fixed_frame", "camera_optical_frame", "fixed frame of RViz: the frame_id of the images"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("use_sim_time", "false", "take the time from /clock"),
    ("respawn", "false", "start depth_node again when it dies"),
    ("shared_memory_mib", "", "size of Fast DDS's shared memory for large messages; 0 leaves Fast DDS as it is"),
    ("keep_buffers", "true", "let the C allocator keep large buffers, which makes large messages cheaper"),
]
OUTPUTS = ["depth/image", "depth/image_color", "normals/image", "normals/image_color", "confidence/image", "points"]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=start_nodes)])


def start_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes that the arguments ask for."""
    values = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    flags = {name: read_flag(name, values[name]) for name in ("rviz", "use_sim_time", "respawn", "keep_buffers")}
    image = values["image"]
    remappings = [("image", image), ("camera_info", values["camera_info"] or beside(image, "camera_info"))]
    if values["depth"]:
        remappings += [("depth/image", values["depth"]), ("depth/camera_info", depth_camera_info(values))]
    if values["points"]:
        remappings += [("points", values["points"])]
    transport = [] if flags["keep_buffers"] else ["--no-keep-buffers"]
    if values["shared_memory_mib"]:
        transport += ["--shared-memory-mib", values["shared_memory_mib"]]
    common = {
        "package": PACKAGE,
        "namespace": values["namespace"],
        "remappings": remappings,
        "arguments": transport,
        "ros_arguments": ["--log-level", values["log_level"]],
        "output": "screen",
    }
    chosen = {name: values[name] for name in ("model", "provider", "inference_size") if values[name]}
    if values["camera_info_url"] and not values["images"]:
        chosen["camera_info_url"] = values["camera_info_url"]
    clock = {"use_sim_time": flags["use_sim_time"]}
    nodes = [
        Node(
            executable="depth_node",
            name="depth_node",
            parameters=[read_params_file(values["params_file"]), chosen | clock],
            respawn=flags["respawn"],
            respawn_delay=2.0,
            **common,
        )
    ]
    if values["images"]:
        numbers = read_intrinsics(values) | {"rate_hz": read_number("rate", values["rate"])}
        played = {"images": values["images"], "loop": True, "frame_id": values["fixed_frame"]} | numbers
        nodes.append(Node(executable="image_player", name="image_player", parameters=[played | clock], **common))
    if flags["rviz"]:
        require_rviz()
        nodes.append(start_rviz(values, remappings, clock))
    return nodes


def read_intrinsics(values: dict[str, str]) -> dict[str, float | str]:
    """Return image_player's parameter for the images' focal length; depth scales with it, so none is guessed."""
    if bool(values["focal"]) == bool(values["camera_info_url"]):
        raise ValueError(
            "launch argument images needs one of focal (pixels) and camera_info_url (a calibration file): depth scales "
            f"with the focal length; got focal '{values['focal']}' and camera_info_url '{values['camera_info_url']}'"
        )
    if values["camera_info_url"]:
        return {"calibration": values["camera_info_url"]}
    return {"focal_px": read_number("focal", values["focal"])}


def require_rviz() -> None:
    """Refuse before anything is started: launch would find out later, and end without ending depth_node."""
    try:
        get_package_share_directory("rviz2")
    except PackageNotFoundError as error:
        raise RuntimeError("rviz2 is not installed: sudo apt install ros-$ROS_DISTRO-rviz2, or rviz:=false") from error


def start_rviz(values: dict[str, str], remappings: list[tuple[str, str]], clock: dict[str, bool]) -> Node:
    """Return RViz, whose configuration names the topics as they are without a namespace."""
    prefix = "/" + values["namespace"].strip("/") if values["namespace"].strip("/") else ""
    remapped = dict(remappings)
    topics = {f"/{topic}": remapped.get(topic, topic) for topic in ["image", *OUTPUTS]}
    topics = {name: topic if topic.startswith("/") else f"{prefix}/{topic}" for name, topic in topics.items()}
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        arguments=["-d", str(SHARE / "config" / "depth.rviz"), "-f", values["fixed_frame"]],
        remappings=[(name, topic) for name, topic in topics.items() if name != topic],
        parameters=[clock],
        output="screen",
    )


def beside(topic: str, name: str) -> str:
    """Return the topic `name` in the same namespace as `topic`."""
    return topic.rpartition("/")[0] + "/" * ("/" in topic) + name


def depth_camera_info(values: dict[str, str]) -> str:
    """Return the topic for the camera_info of depth: beside it, or below it where the camera's own is beside it."""

    def in_full(topic: str) -> str:
        return topic if topic.startswith("/") else f"/{values['namespace'].strip('/')}/{topic}".replace("//", "/")

    taken = [values["camera_info"], beside(values["image"], "camera_info")]
    wanted = beside(values["depth"], "camera_info")
    if in_full(wanted) in [in_full(topic) for topic in taken if topic]:
        return f"{values['depth']}/camera_info"
    return wanted


def read_flag(name: str, text: str) -> bool:
    """Return the truth that an argument's text stands for."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise ValueError(f"launch argument {name} is '{text}', expected true or false")
    return words[text.lower()]


def read_number(name: str, text: str) -> float:
    """Return the number that an argument's text stands for."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"launch argument {name} is '{text}', expected a number") from None


def read_params_file(path: str) -> str:
    """Return the path of a file that exists: launch itself would start the node with defaults in place of the file."""
    if not Path(path).expanduser().is_file():
        raise ValueError(f"launch argument params_file is '{path}', which is no file: give the path of a YAML file")
    return str(Path(path).expanduser())
