"""Starts depth_node and RTAB-Map on one camera: visual odometry and a map in metres from a single colour camera.

ros2 launch metric3d_ros rtabmap.launch.py image:=/camera/image_rect model:=vit_small frame_id:=camera_link
"""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import AnyLaunchDescriptionSource, load_python_launch_file_as_module
from launch.substitutions import LaunchConfiguration

PACKAGE = "metric3d_ros"
SHARE = Path(get_package_share_directory(PACKAGE))
ONE_CAMERA = SHARE / "launch" / "depth.launch.py"
OF_NODES = {"ros_namespace", "ros_remaps", "global_params", "emulate_tty"}
"""Where launch keeps what actions around an include set for the nodes in it."""

one_camera = load_python_launch_file_as_module(str(ONE_CAMERA))
"""What names topics there names them here."""

# Name, default, description.
ARGUMENTS = [
    ("image", "/camera/image_rect", "topic of the rectified images; RTAB-Map subscribes to it as well"),
    ("camera_info", "", "camera_info topic; default: camera_info beside the image topic"),
    ("camera_info_url", "", "calibration file in place of camera_info; RTAB-Map then uses that of depth_node"),
    ("depth", "/camera/depth_registered/image_rect", "topic of the depth images that RTAB-Map subscribes to"),
    ("frame_id", "camera_link", "frame that RTAB-Map tracks; TF must lead from it to the images' frame_id"),
    ("params_file", "", "YAML file with parameters of depth_node; config/depth.yaml lists all of them"),
    ("model", "", "ONNX file, or a published name such as vit_small; the demo model is too inaccurate for mapping"),
    ("provider", "", "execution provider of ONNX Runtime: auto, tensorrt, cuda, openvino or cpu"),
    (
        "inference_size",
        "",
        "image size for the network: native, trained, published, auto, WIDTHxHEIGHT or megapixels (0.5MP)",
    ),
    ("image_transport", "", "transport of the images to depth_node: raw or compressed; RTAB-Map uses raw"),
    ("rectified", "", "whether images are rectified: true, false, or auto, which goes by the topic name"),
    ("rtabmap_args", "--delete_db_on_start", "command line arguments of RTAB-Map"),
    ("rtabmap_viz", "false", "show the window of RTAB-Map"),
    ("sync_queue_size", "60", "images that RTAB-Map queues until depth arrives: more than frame rate times latency"),
    ("use_sim_time", "", "true uses the time of /clock"),
]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=start_both)])


def start_both(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return depth_node and RTAB-Map, with the topics between them."""
    values = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    try:
        rtabmap = Path(get_package_share_directory("rtabmap_launch"))
    except PackageNotFoundError as error:
        raise RuntimeError("rtabmap_launch is not installed: sudo apt install ros-$ROS_DISTRO-rtabmap-ros") from error
    # RTAB-Map's nodes live in a namespace of their own, where relative topics would end.
    image, depth = (one_camera.full_topic(context, values[name]) for name in ("image", "depth"))
    camera_info = one_camera.full_topic(context, values["camera_info"] or one_camera.camera_info_beside(image))
    topics = {"image": image, "camera_info": camera_info, "depth": depth}
    depth_camera_info = one_camera.depth_camera_info(context, topics | {"namespace": ""})
    kept = ("params_file", "model", "provider", "inference_size", "image_transport", "rectified", "camera_info_url")
    kept += ("use_sim_time",)
    of_depth = {name: values[name] for name in kept} | topics
    of_rtabmap = {
        "rgb_topic": image,
        "depth_topic": depth,
        # A camera without camera_info: that of the depth images is the same, and has their stamps.
        "camera_info_topic": depth_camera_info if values["camera_info_url"] else camera_info,
        "frame_id": values["frame_id"],
        # Depth carries the stamp of its image, so nothing need be guessed.
        "approx_sync": "false",
        "topic_queue_size": values["sync_queue_size"],
        "sync_queue_size": values["sync_queue_size"],
        "qos": "2",  # best effort, which matches every publisher
        "rtabmap_args": values["rtabmap_args"],
        "rtabmap_viz": values["rtabmap_viz"],
    }
    if values["use_sim_time"]:
        of_rtabmap["use_sim_time"] = values["use_sim_time"]
    return [
        included(ONE_CAMERA, of_depth),
        included(rtabmap / "launch" / "rtabmap.launch.py", of_rtabmap),
    ]


def included(path: Path, arguments: dict[str, str]) -> GroupAction:
    """Return another launch file with arguments that do not reach any other, nor do those of this one reach it."""
    include = IncludeLaunchDescription(AnyLaunchDescriptionSource(str(path)), launch_arguments=arguments.items())
    return GroupAction([OpaqueFunction(function=forget_arguments), include])


def forget_arguments(context: LaunchContext) -> None:
    """Leave of all that was set only what reaches nodes by itself: PushROSNamespace, SetParameter, SetRemap."""
    for name in set(context.launch_configurations) - OF_NODES:
        del context.launch_configurations[name]
