"""Starts depth_node for one camera, optionally with a folder of images in place of the camera, and with RViz.

ros2 launch metric3d_ros depth.launch.py image:=/camera/image_raw rviz:=true
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, GroupAction, LogInfo, OpaqueFunction, TimerAction
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PACKAGE = "metric3d_ros"
SHARE = Path(get_package_share_directory(PACKAGE))

# Name, default, description. An empty argument sets nothing: params_file, an including launch file or the node decides.
OF_DEPTH_NODE = [
    ("params_file", "", "YAML file with parameters of depth_node; config/depth.yaml lists all of them"),
    (
        "model",
        "",
        "ONNX file, a published name such as vit_small, or demo for the model of the package",
    ),
    ("provider", "", "execution provider of ONNX Runtime: auto, tensorrt, cuda, openvino or cpu"),
    (
        "inference_size",
        "",
        "image size for the network: native, trained, published, auto, WIDTHxHEIGHT or megapixels (0.5MP)",
    ),
    ("image_transport", "", "transport of the images: raw; or compressed, on the image topic + /compressed"),
    ("rectified", "", "whether images are rectified: true (P of camera_info), false (K and D) or auto (by topic name)"),
    ("log_level", "", "log level: debug, info, warn, error or fatal"),
    ("use_sim_time", "", "true uses the time of /clock"),
    ("respawn", "false", "restart depth_node when it ends; each delay is longer if it ends soon after its start"),
    ("shared_memory_mib", "", "shared memory of Fast DDS for large messages, in MiB; 0 leaves the default of Fast DDS"),
    ("keep_buffers", "", "true lets the C allocator reuse large buffers, which makes large messages faster"),
]
ARGUMENTS = [
    ("image", "image", "image topic of the camera"),
    ("camera_info", "", "camera_info topic; default: camera_info beside the image topic"),
    ("depth", "", "output topic of depth, such as /camera/depth_registered/image_rect; its camera_info goes beside it"),
    ("points", "", "output topic of points, such as /camera/depth_registered/points"),
    ("namespace", "", "namespace of the node and its outputs, such as front_camera"),
    ("camera_info_url", "", "calibration file in place of camera_info: a path, file:// or package://"),
    *OF_DEPTH_NODE,
    ("images", "", "image or folder of images to play in place of a camera; requires focal or camera_info_url"),
    ("focal", "", "focal length of the played images, in pixels"),
    ("rate", "", "frame rate of the played images, in Hz"),
    ("rviz", "false", "start RViz with image, depth, normals and points"),
    ("fixed_frame", "camera_optical_frame", "fixed frame of RViz: the frame_id of the images"),
]
OUTPUTS = ["depth/image", "depth/image_color", "normals/image", "normals/image_color", "confidence/image", "points"]
# image_transport's. `ros2` may run on a Python without this package, so launch files import nothing of it.
COMPRESSED_SUFFIX = "/compressed"
FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

FIRST_DELAY_S, LONGEST_DELAY_S = 2.0, 60.0
# A node that ran for so long has no fault in its configuration.
SOUND_S = 60.0


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=start_nodes)])


def start_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes that the arguments ask for."""
    values = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    image = values["image"]
    remappings = [("image", image), ("camera_info", values["camera_info"] or camera_info_beside(image))]
    if values["depth"]:
        remappings += [("depth/image", values["depth"]), ("depth/camera_info", depth_camera_info(context, values))]
    if values["points"]:
        remappings += [("points", values["points"])]
    remappings = [(name, topic) for name, topic in remappings if name != topic]
    # The player publishes the calibration of what it plays.
    calibrated = values["camera_info_url"] and not values["images"]
    parameters = {"camera_info_url": values["camera_info_url"]} if calibrated else {}
    nodes = depth_node(context, values, remappings=remappings, parameters=parameters)
    if values["images"]:
        nodes.append(image_player(values, remappings))
    if read_flag("rviz", values["rviz"]):
        require_rviz()
        nodes.append(start_rviz(context, values, remappings))
    return nodes


def depth_node(
    context: LaunchContext,
    values: dict[str, str],
    *,
    remappings: list[tuple[str, str]],
    parameters: dict[str, Any] | None = None,
) -> list[LaunchDescriptionEntity]:
    """Return a depth_node as `values` of OF_DEPTH_NODE and `namespace` ask for, with more `parameters`."""
    chosen: dict[str, Any] = dict(parameters or {})
    for name in ("model", "provider", "inference_size", "image_transport"):
        if values[name]:
            chosen[name] = ParameterValue(values[name], value_type=str)
    if values["rectified"]:
        flag = FLAGS.get(values["rectified"].lower())
        chosen["rectified"] = values["rectified"] if flag is None else flag
    files = [read_params_file(values["params_file"])] if values["params_file"] else []

    def make(**more: Any) -> Node:
        return Node(
            executable="depth_node", parameters=[*files, chosen | clock(values)], **common(values, remappings), **more
        )

    if read_flag("respawn", values["respawn"]):
        return [respawned(context, make)]
    return [make(name="depth_node")]


def image_player(values: dict[str, str], remappings: list[tuple[str, str]]) -> Node:
    """Return what plays images in place of a camera."""
    intrinsics = read_intrinsics(values)
    if values["image_transport"] not in ("", "raw"):
        raise ValueError(
            f"launch argument image_transport is '{values['image_transport']}', expected raw: images are played raw"
        )
    played = {"images": values["images"], "loop": True, "frame_id": values["fixed_frame"]} | intrinsics
    if values["rate"]:
        played["rate_hz"] = read_number("rate", values["rate"])
    return Node(
        executable="image_player",
        name="image_player",
        parameters=[played | clock(values)],
        **common(values, remappings),
    )


def common(values: dict[str, str], remappings: list[tuple[str, str]]) -> dict[str, Any]:
    """Return what all nodes of this package are started with."""
    arguments = []
    if values["keep_buffers"]:
        arguments.append("--keep-buffers" if read_flag("keep_buffers", values["keep_buffers"]) else "--no-keep-buffers")
    if values["shared_memory_mib"]:
        arguments += ["--shared-memory-mib", values["shared_memory_mib"]]
    return {
        "package": PACKAGE,
        "namespace": values["namespace"],
        "remappings": remappings,
        "arguments": arguments,
        "ros_arguments": ["--log-level", values["log_level"]] if values["log_level"] else [],
        "output": "screen",
    }


def clock(values: dict[str, str]) -> dict[str, bool]:
    """Return the parameter of the clock, if it was asked for."""
    if not values["use_sim_time"]:
        return {}
    return {"use_sim_time": read_flag("use_sim_time", values["use_sim_time"])}


def respawned(context: LaunchContext, make: Callable[..., Node]) -> Node:
    """Return a node that is started again when it ends, each time later if it ends soon, which launch does not do."""
    # What an including launch file has set (namespace, parameters, remappings, environment) is no longer there then.
    settings, environment = dict(context.launch_configurations), dict(context.environment)
    delay_s, started_s = FIRST_DELAY_S, time.monotonic()

    def start(*_: LaunchContext) -> list[LaunchDescriptionEntity]:
        nonlocal started_s
        started_s = time.monotonic()
        return [make(name="depth_node", on_exit=start_again)]

    def restore(context: LaunchContext) -> None:
        context.launch_configurations.update(settings)
        context.environment.update(environment)

    def start_again(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        nonlocal delay_s
        if context.is_shutdown:
            return []
        if time.monotonic() - started_s > SOUND_S:
            delay_s = FIRST_DELAY_S
        wait_s, delay_s = delay_s, min(2 * delay_s, LONGEST_DELAY_S)
        text = f"depth_node ended with exit code {event.returncode}: starting it again in {wait_s:g} s"
        group = GroupAction([OpaqueFunction(function=restore), OpaqueFunction(function=start)])
        return [LogInfo(msg=text), TimerAction(period=wait_s, actions=[group])]

    return start()[0]


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


def start_rviz(context: LaunchContext, values: dict[str, str], remappings: list[tuple[str, str]]) -> Node:
    """Return RViz, whose configuration names the topics as they are without a namespace."""
    prefix = full_namespace(context, values["namespace"])
    remapped = dict(remappings)
    topics = {f"/{topic}": remapped.get(topic, topic) for topic in ["image", *OUTPUTS]}
    topics = {name: topic if topic.startswith("/") else f"{prefix}/{topic}" for name, topic in topics.items()}
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        arguments=["-d", str(SHARE / "config" / "depth.rviz"), "-f", values["fixed_frame"]],
        remappings=[(name, topic) for name, topic in topics.items() if name != topic],
        parameters=[clock(values)],
        output="screen",
    )


def full_namespace(context: LaunchContext, namespace: str) -> str:
    """Return a namespace, below that of an including launch file, without a slash at the end; "" is the root."""
    pushed = context.launch_configurations.get("ros_namespace", "")
    parts = [namespace] if namespace.startswith("/") else [pushed, namespace]
    return "".join("/" + part.strip("/") for part in parts if part.strip("/"))


def beside(topic: str, name: str) -> str:
    """Return the topic `name` in the same namespace as `topic`."""
    return topic.rpartition("/")[0] + "/" * ("/" in topic) + name


def camera_info_beside(image: str) -> str:
    """Return the topic on which drivers publish the camera_info of images, which may be compressed ones."""
    return beside(image.removesuffix(COMPRESSED_SUFFIX), "camera_info")


def full_topic(context: LaunchContext, topic: str, namespace: str = "") -> str:
    """Return the full name of a topic of a node in `namespace`."""
    return topic if topic.startswith("/") else f"{full_namespace(context, namespace)}/{topic}"


def depth_camera_info(context: LaunchContext, values: dict[str, str]) -> str:
    """Return the topic for the camera_info of depth: beside it, or below it if the camera's own is beside it."""
    taken = [values["camera_info"], camera_info_beside(values["image"])]
    wanted = beside(values["depth"], "camera_info")
    if full_topic(context, wanted, values["namespace"]) in [
        full_topic(context, topic, values["namespace"]) for topic in taken if topic
    ]:
        return f"{values['depth']}/camera_info"
    return wanted


def read_flag(name: str, text: str) -> bool:
    """Return the truth that an argument's text stands for."""
    if text.lower() not in FLAGS:
        raise ValueError(f"launch argument {name} is '{text}', expected true or false")
    return FLAGS[text.lower()]


def read_number(name: str, text: str) -> float:
    """Return the number that an argument's text stands for."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"launch argument {name} is '{text}', expected a number") from None


def read_params_file(path: str) -> str:
    """Return the path of a file that exists: launch itself would start the node with defaults in place of the file."""
    if not Path(path).expanduser().is_file():
        raise ValueError(f"launch argument params_file is '{path}', which is not a file: give the path of a YAML file")
    return str(Path(path).expanduser())
