"""docs/topics.md: the topics and services of depth_node, from the tables that declare them."""

from collections.abc import Iterator
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from metric3d_ros.nodes.health.diagnostics import DIAGNOSTICS_TOPIC
from metric3d_ros.nodes.outlet.scale_topic import SCALE_TOPIC
from metric3d_ros.nodes.outlet.timing_topic import TIMING_TOPIC
from metric3d_ros.nodes.parameters.outputs import SwitchParameters
from metric3d_ros.nodes.parameters.qos_parameters import QosParameters
from metric3d_ros.nodes.ros.qos import OUTPUT, camera_info_input, image_input
from metric3d_ros.outputs.table import OUTPUTS


def _describe(profile: QoSProfile) -> str:
    return f"{profile.reliability.name.lower().replace('_', ' ')}, keeps {profile.depth}"


_OF_TF2 = "as tf2 has it"
INPUTS = (
    ("image", Image, image_input, "the camera's pictures, in any colour, gray, Bayer or YUV encoding"),
    (
        "image/compressed",
        CompressedImage,
        image_input,
        "JPEG, PNG, TIFF or WebP, in place of `image` with `image_transport: compressed`; follows `image` when that is "
        "remapped",
    ),
    (
        "camera_info",
        CameraInfo,
        camera_info_input,
        "pixels; the one with the image's stamp, or the nearest stamp, or the last one of its frame_id and size, "
        "latched ones too",
    ),
)
RANGES = "ranges"
"""Stands for the topic that `scale.topic` names."""
OF_OTHER_SENSORS = (
    (
        RANGES,
        "sensor_msgs/LaserScan, PointCloud2 or Range",
        _describe(image_input(QosParameters())),
        "ranges of another sensor, of `scale.topic_type`, on the topic that `scale.topic` names",
    ),
    ("/tf", "tf2_msgs/TFMessage", _OF_TF2, "where that sensor is, with `scale.use_tf: true`"),
    ("/tf_static", "tf2_msgs/TFMessage", _OF_TF2, "the same, for what does not move"),
)
"""What depth_node subscribes to only if it is asked for; with several cameras the same topics for all."""
OTHERS = (
    (
        DIAGNOSTICS_TOPIC,
        DiagnosticArray,
        "state, rates in Hz, latencies in ms, dropped frames with the last reason; 1 Hz",
    ),
    (
        TIMING_TOPIC,
        DiagnosticArray,
        "milliseconds by stage of each frame, with the image's stamp, and its age if that is known",
    ),
    (
        SCALE_TOPIC,
        DiagnosticArray,
        "with `scale.*` set: factor of each frame's depth, its source, spread, age in s, and why the newest "
        "measurement was refused, with the image's stamp",
    ),
)
SERVICES = (
    ("~/set_enabled", SetBool, "false pauses the node; true lets it go on"),
    (
        "~/save_snapshot",
        Trigger,
        "writes the next image with depth, normals, confidence, points, camera and parameters into a new folder, whose "
        "name is the answer",
    ),
)


_HEAD = """\
# Topics and services of depth_node

<!-- Written by `python -m metric3d_ros.nodes.reference`: change the tables in metric3d_ros/nodes, not this page. -->

Names are relative: remap them, or set a namespace. With several `cameras`, inputs and outputs have the camera's name in
front, as in `front/image` and `front/depth/image`. Nothing is computed for a topic without subscribers.
"""


def topic_page() -> str:
    """Return docs/topics.md."""
    services = ((f"`{name}`", _type_name(kind), text) for name, kind, text in SERVICES)
    return "\n".join(
        [
            _HEAD,
            _table(("subscribes", "type", "QoS", "what it holds"), _inputs()),
            _table(("publishes", "type", "QoS", "what it holds"), _outputs()),
            _table(("service", "type", "what it does"), services),
        ]
    )


def _inputs() -> Iterator[tuple[str, ...]]:
    for topic, kind, profile, text in INPUTS:
        yield f"`{topic}`", _type_name(kind), _describe(profile(QosParameters())), text
    for topic, type_name, qos, text in OF_OTHER_SENSORS:
        yield f"`{topic}`", type_name, qos, text


def _outputs() -> Iterator[tuple[str, ...]]:
    switches = SwitchParameters()
    for output in OUTPUTS:
        text = output.description
        if not getattr(switches, output.switch):
            text += f"; off unless `outputs.{output.switch}` is true"
        yield f"`{output.topic}`", f"{output.package}/{output.kind}", _describe(OUTPUT), text
    for topic, kind, text in OTHERS:
        yield f"`{topic}`", _type_name(kind), _describe(OUTPUT), text


def _type_name(kind: Any) -> str:
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
