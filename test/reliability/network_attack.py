"""Hostile messages over DDS to a real depth_node, with good frames between them that must all come out."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sensor_msgs.msg
from hostile_messages import hostile_camera_info, hostile_image
from process_figures import ProcessFigures
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from metric3d_ros.messages import array_to_image

_HOSTILE_TO_GOOD = 20
_PAUSE_S = 0.005
"""Between hostile messages, so that the queues of DDS carry them all."""
_ANSWER_TIMEOUT_S = 20.0
_SIZE_HW = (56, 84)


@dataclass
class NetworkFindings:
    """What became of the messages."""

    counts: Counter[str] = field(default_factory=Counter)
    """Hostile messages by type, "good" and "answered"."""
    failures: list[str] = field(default_factory=list)
    memory_growth_bytes: int = 0

    @property
    def hostile(self) -> int:
        """How many hostile messages were sent."""
        return self.counts["Image"] + self.counts["CameraInfo"]


def attack_over_dds(
    *, seconds: float, seed: int, log_folder: Path, on_progress: Callable[[NetworkFindings], None] = lambda _: None
) -> NetworkFindings:
    """Attack a depth_node with the demo model for a while."""
    findings, domain, rng = NetworkFindings(), next_domain(), random.Random(f"network {seed}")
    environment = ros_environment(log_folder, domain) | {"ROS_PYTHON_CHECK_FIELDS": ""}
    with running_node("depth_node", *parameters(threads=1), environment=environment) as node:
        node.wait_for("ready", timeout_s=120.0)
        bench = TestBench(domain)
        try:
            sender = _Sender(bench)
            if not sender.send_good():
                findings.failures.append("the first good frame did not come out")
                return findings
            before = ProcessFigures.of(node.pid)
            deadline_s = time.monotonic() + seconds
            while time.monotonic() < deadline_s and not findings.failures:
                for _ in range(_HOSTILE_TO_GOOD):
                    findings.counts.update(sender.send_hostile(rng))
                    bench.spin_for(_PAUSE_S)
                findings.counts["good"] += 1
                if sender.send_good():
                    findings.counts["answered"] += 1
                else:
                    findings.failures.append(_what_happened(node, seed, findings))
                on_progress(findings)
            if not findings.failures:
                findings.memory_growth_bytes = ProcessFigures.of(node.pid).own_bytes - before.own_bytes
            reports = [line for line in node.lines if "Traceback" in line or "please report it" in line]
            findings.failures += [f"network, seed {seed}: {line}" for line in reports[:3]]
        finally:
            bench.close()
    return findings


class _Sender:
    """A camera whose good images are told apart by their stamps."""

    def __init__(self, bench: TestBench) -> None:
        self._bench = bench
        self._images, self._infos = bench.advertise(Image, "image"), bench.advertise(CameraInfo, "camera_info")
        self._depth = bench.listen(Image, "depth/image")
        self._sent = 0

    def send_hostile(self, rng: random.Random) -> list[str]:
        """Send an image and a camera_info in one order or the other; return their types."""
        image = hostile_image(rng)
        messages = [image, hostile_camera_info(rng, image)]
        rng.shuffle(messages)
        for message in messages:
            (self._images if isinstance(message, Image) else self._infos).publish(message)
        return [type(message).__name__ for message in messages]

    def send_good(self) -> bool:
        """Send good images, a newer one every second, until depth of one of them comes; return whether it did.

        A best-effort subscription may lose one of them: that is no fault of the node.
        """
        deadline_s, stamps = time.monotonic() + _ANSWER_TIMEOUT_S, set[int]()
        self._depth.clear()

        def is_answered() -> bool:
            return any(message.header.stamp.nanosec in stamps for message in self._depth)

        while not is_answered() and time.monotonic() < deadline_s:
            self._sent += 1
            stamps.add(self._sent)
            self._send(self._sent)
            self._bench.spin_until(is_answered, timeout_s=1.0)
        return is_answered()

    def _send(self, number: int) -> None:
        height, width = _SIZE_HW
        header = Header(frame_id="good")
        header.stamp.sec, header.stamp.nanosec = 7, number
        k = np.array([80.0, 0.0, width / 2, 0.0, 80.0, height / 2, 0.0, 0.0, 1.0])
        self._infos.publish(CameraInfo(header=header, width=width, height=height, k=k))
        pixels = np.full((height, width, 3), 90, np.uint8)
        self._images.publish(array_to_image(pixels, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))


def _what_happened(node: object, seed: int, findings: NetworkFindings) -> str:
    lines = "\n".join(node.lines[-5:])
    return f"network, seed {seed}, after {findings.hostile} hostile messages: no depth of a good frame:\n{lines}"
