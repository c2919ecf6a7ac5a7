"""One round of fuzzing from one seed: messages through depth_node's frame path, damaged files through the readers."""

from __future__ import annotations

import random
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import rclpy
import sensor_msgs.msg
import tiny_models
from frame_path import FramePath
from hostile_files import make_good_files, read_damaged
from hostile_messages import hostile_camera_info, hostile_compressed_image, hostile_image
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.messages import array_to_image

MESSAGES = ("Image", "CameraInfo", "CompressedImage")
FILES = "file"
MESSAGES_A_ROUND = 300
"""Of each type."""
FILES_A_ROUND = 20
SLOW_S = 1.0
MOST_FAILURES = 20
_LARGEST_HW = (480, 640)


@dataclass
class Findings:
    """What rounds found; the sum of several is what all of them found."""

    counts: Counter[str] = field(default_factory=Counter)
    """By "Image", "CameraInfo", "CompressedImage" and "file"; with " used" for what was taken for good."""
    failures: list[str] = field(default_factory=list)
    """What each exception was, with the words that repeat it."""
    failed: int = 0
    slow: list[str] = field(default_factory=list)
    """What took more than a second of processor time."""
    slowest_s: float = 0.0
    """Of processor time."""
    good_frame_bytes: int = 0
    """How far the largest good frame raised the process's memory."""
    most_bytes: int = 0
    """How far anything at all did, from the same start."""

    def add(self, other: Findings) -> None:
        """Take in what others found."""
        self.counts += other.counts
        self.failed += other.failed
        self.failures = (self.failures + other.failures)[:MOST_FAILURES]
        self.slow += other.slow
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.good_frame_bytes = max(self.good_frame_bytes, other.good_frame_bytes)
        self.most_bytes = max(self.most_bytes, other.most_bytes)

    @property
    def messages(self) -> int:
        """How many messages were sent through."""
        return sum(self.counts[name] for name in MESSAGES)

    @property
    def memory_is_bounded(self) -> bool:
        """Whether nothing needed twice what a good frame needs."""
        return self.most_bytes <= 2 * self.good_frame_bytes


class Target:
    """What is attacked, made once for many rounds."""

    def __init__(self, folder: Path) -> None:
        # Of its own, and nothing is sent: only the intake's and outlet's objects are needed.
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = Node("fuzz", context=self._context)
        self._node.get_logger().set_level(rclpy.logging.LoggingSeverity.FATAL)
        model = tiny_models.save_contract_model(folder / "tiny.onnx")
        estimator = Estimator(open_model(str(model), provider="cpu", threads=1))
        self.raw = FramePath(self._node, estimator)
        self.compressed = FramePath(self._node, estimator, image_transport="compressed", hfov_deg=60.0)
        self.files = make_good_files(folder / "good")
        self.folder = folder
        self._warm_up()
        self.start_bytes = _memory("VmRSS")
        self._send_good(_LARGEST_HW)
        self.good_frame_bytes = peak_memory_bytes() - self.start_bytes

    def close(self) -> None:
        """Release ROS."""
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _warm_up(self) -> None:
        self._send_good((30, 40))
        for kind in self.files.values():
            kind.read(kind.good)

    def _send_good(self, size_hw: tuple[int, int]) -> None:
        height, width = size_hw
        header = Header(frame_id="good")
        k = np.array([500.0, 0.0, width / 2, 0.0, 500.0, height / 2, 0.0, 0.0, 1.0])
        published = self.raw.counts.published
        self.raw.intake.take_camera_info(CameraInfo(header=header, width=width, height=height, k=k))
        pixels = np.full((height, width, 3), 90, np.uint8)
        self.raw.intake.take_image(array_to_image(pixels, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))
        assert self.raw.counts.published == published + 1, self.raw.counts.last_reason


def run_round(target: Target, seed: int, *, note: Callable[[str], None] = lambda _: None) -> Findings:
    """Attack with what follows from `seed`; `note` gets the name of each try before it begins."""
    findings = Findings(good_frame_bytes=target.good_frame_bytes)
    for index in range(MESSAGES_A_ROUND):
        _try(findings, "Image", seed, index, note, partial(_send_image, target.raw))
        _try(findings, "CompressedImage", seed, index, note, partial(_send_compressed, target.compressed))
    # Files come round in turn, whatever the seed.
    names = list(target.files)
    for index in range(FILES_A_ROUND):
        name = names[(seed * FILES_A_ROUND + index) % len(names)]
        attack = partial(read_damaged, name, target.files[name], target.folder)
        _try(findings, FILES, seed, index, note, attack, label=f" {name}")
    findings.counts["CameraInfo"] = findings.counts["Image"]
    findings.most_bytes = peak_memory_bytes() - target.start_bytes
    return findings


def _try(
    findings: Findings,
    what: str,
    seed: int,
    index: int,
    note: Callable[[str], None],
    attack: Callable[[random.Random], bool],
    label: str = "",
) -> None:
    name = f"{what}{label}, seed {seed}, number {index}"
    note(name)
    started_s = time.process_time()
    try:
        used = attack(random.Random(f"{what} {seed} {index}"))
        findings.counts[f"{what} used"] += used
    except Exception as error:
        findings.failed += 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())[-300:]
        findings.failures.append(f"{name}: {type(error).__name__} at {where.filename}:{where.lineno}: {text}")
        del findings.failures[MOST_FAILURES:]
    took_s = time.process_time() - started_s
    findings.counts[what] += 1
    findings.slowest_s = max(findings.slowest_s, took_s)
    if took_s > SLOW_S:
        findings.slow.append(f"{name}: {took_s:.1f} s")


def _send_image(path: FramePath, rng: random.Random) -> bool:
    image = hostile_image(rng)
    sends = [
        lambda: path.intake.take_camera_info(hostile_camera_info(rng, image)),
        lambda: path.intake.take_image(image),
    ]
    rng.shuffle(sends)
    return _counted(path, sends)


def _send_compressed(path: FramePath, rng: random.Random) -> bool:
    message = hostile_compressed_image(rng)
    return _counted(path, [lambda: path.intake.take_compressed_image(message)])


def _counted(path: FramePath, sends: list[Callable[[], object]]) -> bool:
    published = path.counts.published
    for send in sends:
        send()
    try:
        path.check()
    finally:
        path.unexpected.clear()
    return bool(path.counts.published > published)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had at once."""
    return _memory("VmHWM")


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
