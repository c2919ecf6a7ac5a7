"""A camera and the line behind it, without a network of processes in between."""

from types import SimpleNamespace

import numpy as np
from rclpy.serialization import serialize_message

from metric3d_ros.messages import cloud_to_points, image_to_depth
from metric3d_ros.nodes.health.frame_counts import Dropped
from metric3d_ros.nodes.parameter_server.schema import build
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.pipeline.line import Line
from metric3d_ros.nodes.pipeline.node_camera import NodeCamera
from metric3d_ros.outputs.table import OUTPUTS

MAX_PIXELS = 640 * 480


class FramePath:
    """A camera and the line behind it, without a network of processes in between."""

    def __init__(self, node, estimator, **values):
        values = {"max_pixels": MAX_PIXELS, "outputs.scan": True, "scan.frame_id": "camera_link"} | values
        self.parameters = build(DepthParameters, values)
        self.unexpected = []
        self.camera = NodeCamera(node, parameters=self.parameters, offer=self._work)
        self.intake, self.counts = self.camera.intake, self.camera.progress.counts
        self.camera.outlet.wanted = lambda: tuple(output.topic for output in OUTPUTS)
        self.camera.outlet.publish = self._publish
        self.line = Line(
            estimator,
            parameters=lambda: self.parameters,
            now_ns=lambda: 0,
            on_published=lambda *_: None,
            log=SimpleNamespace(error=self.unexpected.append, warning=lambda _: None),
        )

    def _work(self, camera, frame):
        self.line.run({camera: frame})

    def _publish(self, topic, message):
        serialize_message(message)
        self.look_at(topic, message)

    def look_at(self, topic, message):
        """Depth and points are finite or NaN, never 0, infinite or negative along the optical axis."""
        if topic == "depth/image":
            depth = image_to_depth(message)
            infinite = self.parameters.depth.far == "infinite" and message.encoding == "32FC1"
            assert ((depth > 0) & (np.isfinite(depth) | infinite) | np.isnan(depth)).all()
        elif topic == "points":
            assert not np.isinf(cloud_to_points(message).points).any()

    def check(self):
        """Every frame is in exactly one count, but for one that may wait for its camera_info."""
        counts = self.counts
        ended = counts.published + sum(counts.dropped.values())
        assert not self.unexpected, self.unexpected[0]
        assert counts.received - ended in (0, 1)
        assert bool(counts.dropped[Dropped.BAD]) == bool(counts.last_reason)
