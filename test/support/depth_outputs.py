"""A depth_node that publishes every output, whose parameters a test sets while it runs, and its camera."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tiny_models
from camera_bench import HEIGHT, SCALE, TOPICS, WIDTH, CameraBench
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CompressedImage, LaserScan

from metric3d_ros.messages import image_to_array
from metric3d_ros.nodes.parameter_server.schema import entries
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters

DEPTH, COLOUR, POINTS, SCAN = "depth/image", "depth/image_color", "points", "scan"
COMPRESSED = "depth/image/compressedDepth"
METRES = tiny_models.METRES_PER_LEVEL * SCALE
"""Depth of one grey level."""
DEFAULTS = {entry.name: entry.default for entry in entries(DepthParameters) if not entry.read_only}


@contextmanager
def running_session(tmp_path_factory) -> Iterator[tuple]:
    """Yield the node's process, its camera and the folder of its snapshots."""
    domain = next_domain()
    model = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    folder = tmp_path_factory.mktemp("snapshots")
    arguments = parameters(
        model=model, outputs__scan=True, scan__frame_id="camera_link", snapshot__folder=folder, snapshot__timeout_s=1.5
    )
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    with running_node("depth_node", *arguments, environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            camera = CameraBench(bench, {**TOPICS, COMPRESSED: CompressedImage, SCAN: LaserScan})
            camera.connect()
            yield process, camera, folder
        finally:
            bench.close()


def reset(camera):
    """Set all parameters to their defaults again."""
    values = {name.replace(".", "__"): value for name, value in DEFAULTS.items() if name != "scan.frame_id"}
    assert all(result.successful for result in camera.bench.set_parameters("depth_node", **values))
    return camera


def change(camera, **values):
    for result in camera.bench.set_parameters("depth_node", **values):
        assert result.successful, result.reason


def depth_of(camera, array, **fields):
    return image_to_array(camera.results(camera.show(array, **fields), [DEPTH])[DEPTH]).array


def cloud_of(camera, array):
    return camera.results(camera.show(array), [POINTS])[POINTS]


def wall(level, *, width=WIDTH, height=HEIGHT):
    return np.full((height, width, 3), level, np.uint8)


def half_near_half_far(near=50, far=200):
    array = wall(near)
    array[:, WIDTH // 2 :] = far
    return array
