"""The stages of depth_node with a real model, from a camera's message to its outputs, over DDS.

`python -m metric3d_ros.bench.node.stages` is the process that plays the camera and listens.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from metric3d_ros.bench.node.own_domain import enter_own_domain
from metric3d_ros.bench.statistics import Summary
from metric3d_ros.errors import InferenceError
from metric3d_ros.program import describe_failure, program

TOPICS = ("depth/image", "depth/camera_info", "normals/image", "confidence/image", "points")
STRIDE = 2

SHOWN = ("decode", "prepare", "infer", "finish", "cloud", "publish", "outputs", "total")
"""The columns of a table: `cloud` is building the cloud's message, `publish` sending all messages (sum of their times),
and `outputs` the wall time of building and sending everything, some of it in parallel."""
_BUILD = " build"
_CLOUD = "points"

_MOST_RATE_HZ = 30.0
_OFFERED = 1.5
"""Images are sent this many times as fast as the model processes them, so that the node is never idle."""
_DEADLINE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class NodeTask:
    """The settings of the node for a measurement."""

    model: str
    provider: str
    size_hw: tuple[int, int]
    threads: int
    image_ms: float
    """Latency of the model alone for an image; images are sent somewhat faster."""
    seconds: float
    computed_in: str = ""
    """As in `Candidate`: the precision that the provider computes in, if it differs from the file's."""


@dataclass(frozen=True, kw_only=True)
class NodeStages:
    """The node's stages with one model."""

    title: str
    task: NodeTask
    stages: dict[str, Summary]
    """By the names of `SHOWN`, then all others that the node reports."""

    def to_json(self) -> dict[str, Any]:
        """Return it as names and values for JSON."""
        return {
            "title": self.title,
            **asdict(self.task),
            "topics": TOPICS,
            "points_stride": STRIDE,
            "stages_ms": {stage: asdict(summary) for stage, summary in self.stages.items()},
        }


def ros_missing() -> str | None:
    """Return why no node can run here; None if ROS 2 is there."""
    missing = next((name for name in ("rclpy", "sensor_msgs") if importlib.util.find_spec(name) is None), None)
    return missing and (
        f"{missing} is not installed: source a ROS 2, or `pip install '.[ros]'` in the source folder (x86_64)"
    )


def measure_node(task: NodeTask, *, title: str) -> NodeStages:
    """Run depth_node with a model, feed it for a while, and return its stages; raises InferenceError."""
    command = [sys.executable, "-m", "metric3d_ros.bench.node.stages", json.dumps(asdict(task))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = describe_failure(done.returncode, done.stderr)
        raise InferenceError(f"depth_node could not be timed: {reason}")
    answer = json.loads(done.stdout.splitlines()[-1])
    named = name_stages(answer)
    order = [*SHOWN, *(stage for stage in named if stage not in SHOWN)]
    stages = {stage: Summary.of(named[stage]) for stage in order if named.get(stage)}
    if not stages:
        raise InferenceError("depth_node published nothing in the time it had: give it more with --seconds")
    return NodeStages(title=title, task=task, stages=stages)


def name_stages(told_ms: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return the node's own stages with `cloud` and, if it reports the building time of outputs, `publish` added."""
    built = [stage.removesuffix(_BUILD) for stage in told_ms if stage.endswith(_BUILD)]
    added = {"cloud": told_ms.get(f"{_CLOUD}{_BUILD}", told_ms.get(_CLOUD, []))}
    # All lists have a time for each frame; the topics of a frame are always the same ones here.
    sent = [np.subtract(told_ms[topic], told_ms[f"{topic}{_BUILD}"]) for topic in built]
    if sent and len({times.size for times in sent}) == 1:
        added["publish"] = np.sum(sent, axis=0).tolist()
    return told_ms | added


def node_parameters(task: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the node that a `NodeTask`, as names and values, is run with."""
    parameters = {
        "model": task["model"],
        "provider": task["provider"],
        "threads": task["threads"],
        "points.stride": STRIDE,
    }
    return parameters | ({"openvino.precision": task["computed_in"]} if task["computed_in"] else {})


def _measure_here(task: dict[str, Any]) -> dict[str, list[float]]:
    enter_own_domain()
    # After the environment, which both read when they are imported or initialised.
    import rclpy
    from rclpy.context import Context
    from rclpy.utilities import get_rmw_implementation_identifier

    from metric3d_ros.nodes.instruments.load_probe import LoadProbe
    from metric3d_ros.nodes.instruments.node_process import running_node
    from metric3d_ros.nodes.transport.large_messages import prepare_for_large_messages

    namespace, topics = f"bench_{os.getpid()}", _topics(task["model"])
    arguments = ["-r", f"__ns:=/{namespace}"]
    arguments += [word for name, value in node_parameters(task).items() for word in ("-p", f"{name}:={value}")]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running_node(arguments))
        prepare_for_large_messages(rmw_implementation=get_rmw_implementation_identifier())
        context = Context()
        rclpy.init(context=context)
        stack.callback(rclpy.shutdown, context=context)
        probe = LoadProbe(context, namespace=namespace, topics=topics, size_hw=tuple(task["size_hw"]))
        stack.callback(probe.close)
        if not probe.connect(timeout_s=_DEADLINE_S):
            raise InferenceError(f"depth_node did not answer within {_DEADLINE_S:.0f} s")
        rate_hz = min(_MOST_RATE_HZ, _OFFERED * 1e3 / task["image_ms"])
        measured = probe.measure(rate_hz=rate_hz, seconds=task["seconds"])
    return {stage.removesuffix("_ms"): times_ms for stage, times_ms in measured.stages_ms.items()}


def _topics(model: str) -> Sequence[str]:
    """Return the topics that a node with this model publishes on."""
    from metric3d_ros.bench.candidates import available_outputs
    from metric3d_ros.estimation.depth_model import open_model
    from metric3d_ros.estimation.estimator import CONFIDENCE

    with_confidence = CONFIDENCE in available_outputs(open_model(model, provider="cpu"))
    return [topic for topic in TOPICS if with_confidence or topic != "confidence/image"]


@program("")
def _main() -> int:
    print(json.dumps(_measure_here(json.loads(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
