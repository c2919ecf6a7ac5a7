"""The table of outputs: for each topic its type, what it needs of the network, and which function builds it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from metric3d_ros.estimation.estimator import CONFIDENCE, DEPTH, NORMALS
from metric3d_ros.outputs.builders import (
    build_compressed_depth,
    build_confidence_image,
    build_depth_camera_info,
    build_depth_colour,
    build_depth_image,
    build_ground,
    build_normals_arrows,
    build_normals_colour,
    build_normals_image,
    build_obstacles,
    build_points,
    build_rectified_camera_info,
    build_rectified_image,
    build_scan,
)
from metric3d_ros.outputs.options import FROM_NETWORK, OBSTACLES, OutputOptions
from metric3d_ros.outputs.result import Result

SCAN = "scan"
_NOTHING = frozenset[str]()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """One topic."""

    topic: str
    """Relative to the node's namespace."""
    transport_of: str = ""
    """The topic whose form for transport this one is: it follows when that one is remapped."""
    switch: str
    """Its field in `SwitchParameters`."""
    kind: str
    """The message class."""
    package: str = "sensor_msgs"
    """Where it is from."""
    description: str
    """What it holds, with its unit, for the README."""
    needs: Callable[[OutputOptions], frozenset[str]]
    """The estimator's outputs that it is made from; none at all for what needs no inference."""
    build: Callable[[Result[Any], Any], Any]
    """Makes the message of a result with the classes of sensor_msgs.msg; None if this model cannot make it."""


def _needs_nothing(_: OutputOptions) -> frozenset[str]:
    return _NOTHING


def _needs_normals(parameters: OutputOptions) -> frozenset[str]:
    needed = _needs_depth(parameters)
    return needed | {NORMALS} if parameters.normals.source == FROM_NETWORK else needed


def _needs_confidence(_: OutputOptions) -> frozenset[str]:
    return frozenset({DEPTH, CONFIDENCE})


def _needs_depth(parameters: OutputOptions) -> frozenset[str]:
    return frozenset({DEPTH, CONFIDENCE} if parameters.depth.min_confidence else {DEPTH})


def _needs_points(parameters: OutputOptions) -> frozenset[str]:
    needed = _needs_depth(parameters)
    if parameters.points.min_confidence or parameters.points.with_confidence:
        needed |= {CONFIDENCE}
    return needed | _needs_normals(parameters) if parameters.points.with_normals else needed


def _needs_arrows(parameters: OutputOptions) -> frozenset[str]:
    needed = _needs_normals(parameters)
    return needed | {CONFIDENCE} if parameters.points.min_confidence else needed  # arrows stand on points


def _needs_scan(parameters: OutputOptions) -> frozenset[str]:
    return _needs_obstacles(parameters) if parameters.scan.source == OBSTACLES else _needs_depth(parameters)


def _needs_obstacles(parameters: OutputOptions) -> frozenset[str]:
    needed = _needs_depth(parameters) | {NORMALS}
    with_confidence = parameters.points.min_confidence or parameters.points.with_confidence
    return needed | {CONFIDENCE} if with_confidence else needed


DEPTH_TOPIC = "depth/image"

OUTPUTS: Sequence[Output] = (
    Output(
        topic=DEPTH_TOPIC,
        switch="depth",
        kind="Image",
        description="32FC1, metres along the optical axis (with `depth.kind: range` along the rays), NaN where "
        "invalid; or 16UC1, millimetres, 0 where invalid",
        needs=_needs_depth,
        build=build_depth_image,
    ),
    Output(
        topic="depth/camera_info",
        switch="depth",
        kind="CameraInfo",
        description="the camera of the depth image, pixels: the image's own, or with `outputs_in: rectified` the "
        "pinhole camera of the rectified one",
        needs=_needs_nothing,
        build=build_depth_camera_info,
    ),
    Output(
        topic="normals/image",
        switch="normals",
        kind="Image",
        description="32FC3, unit vectors in the optical frame that face the camera (a wall ahead is 0, 0, -1), NaN "
        "where depth is invalid",
        needs=_needs_normals,
        build=build_normals_image,
    ),
    Output(
        topic="points",
        switch="points",
        kind="PointCloud2",
        description="x y z in metres in the optical frame, rgb, normal_x normal_y normal_z, and confidence if "
        "`points.fields` has it; organised, NaN where invalid, the normal too",
        needs=_needs_points,
        build=build_points,
    ),
    Output(
        topic="confidence/image",
        switch="confidence",
        kind="Image",
        description="32FC1, expected accuracy of depth, 0 to 1, 0 where depth is invalid",
        needs=_needs_confidence,
        build=build_confidence_image,
    ),
    Output(
        topic="depth/image_color",
        switch="depth_color",
        kind="Image",
        description="rgb8, depth for people: near is warm, far is cold, invalid is dark gray",
        needs=_needs_depth,
        build=build_depth_colour,
    ),
    Output(
        topic="normals/image_color",
        switch="normals_color",
        kind="Image",
        description="rgb8, normals for people: (n + 1) / 2 with x as red, y as green, z as blue",
        needs=_needs_normals,
        build=build_normals_colour,
    ),
    Output(
        topic=SCAN,
        switch="scan",
        kind="LaserScan",
        description="metres and radians, the nearest thing in each direction at the camera's height, or with "
        "`scan.source: obstacles` at any height that is in the way",
        needs=_needs_scan,
        build=build_scan,
    ),
    Output(
        topic="points/obstacles",
        switch="obstacles",
        kind="PointCloud2",
        description="x y z in metres in the optical frame, and confidence as in points: what stands above the ground, "
        "`obstacles.*`; not organised; "
        "nothing is published while no ground is seen",
        needs=_needs_obstacles,
        build=build_obstacles,
    ),
    Output(
        topic="ground/plane",
        switch="ground",
        kind="PoseWithCovarianceStamped",
        package="geometry_msgs",
        description="the ground in the optical frame: position is the point below the camera, metres; the z axis of "
        "orientation is the normal, x is where the camera looks; covariance is that of height and tilt; nothing is "
        "published while no ground is seen",
        needs=_needs_obstacles,
        build=build_ground,
    ),
    Output(
        topic="normals/arrows",
        switch="normals_arrows",
        kind="MarkerArray",
        package="visualization_msgs",
        description="normals as arrows at their points in the optical frame, `normals.arrow_stride` pixels apart, for "
        "RViz",
        needs=_needs_arrows,
        build=build_normals_arrows,
    ),
    Output(
        topic="rectified/image_rect",
        switch="rectified",
        kind="Image",
        description="rgb8, the image to whose pixels the outputs belong with `outputs_in: rectified`: rectified, or as "
        "it came if it has no lens to take out; nothing is published with `outputs_in: raw`",
        needs=_needs_nothing,
        build=build_rectified_image,
    ),
    Output(
        topic="rectified/camera_info",
        switch="rectified",
        kind="CameraInfo",
        description="its camera, as on depth/camera_info",
        needs=_needs_nothing,
        build=build_rectified_camera_info,
    ),
    # Last: its PNG takes longer than anything before it, which need not wait.
    Output(
        topic="depth/image/compressedDepth",
        transport_of=DEPTH_TOPIC,
        switch="compressed_depth",
        kind="CompressedImage",
        description="depth as image_transport's compressedDepth plugin sends it: a 16-bit PNG",
        needs=_needs_depth,
        build=build_compressed_depth,
    ),
)
"""In the order in which they are begun: measurements first, the largest of them early, then pictures for people."""

_BY_TOPIC = {output.topic: output for output in OUTPUTS}


def find_output(topic: str) -> Output:
    """Return the output of a topic of the table."""
    return _BY_TOPIC[topic]
