"""The results of a benchmark, as one record for JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from metric3d_ros.bench.comparison import Compared, Refusal
from metric3d_ros.bench.node.stages import NodeStages

FORMAT_VERSION = 1
_BUSY_PERCENT = 10.0


@dataclass(frozen=True, kw_only=True)
class NodeOverhead:
    """The node without its network, in one scenario of `metric3d_ros.bench.node.overhead`, with that program's output.

    `overhead_ms` has the figures of its first line, such as p50: the time of a frame without the network.
    """

    scenario: str
    seconds: float
    text: str
    overhead_ms: dict[str, float]


def read_overhead_ms(text: str) -> dict[str, float]:
    """Return the figures of the whole node from what `metric3d_ros.bench.node.overhead` prints; empty without them."""
    line = next((line for line in text.splitlines() if "node, without the network" in line), "")
    return {name: float(value) for name, value in re.findall(r"(p\d+|max)\s+([\d.]+)", line)}


@dataclass(kw_only=True)
class BenchReport:
    """What was measured, where, and how."""

    started: str
    """Date and time, ISO 8601, UTC."""
    command: Sequence[str]
    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    comparisons: list[Compared] = field(default_factory=list)
    node_stages: list[NodeStages] = field(default_factory=list)
    node_overhead: list[NodeOverhead] = field(default_factory=list)
    left_out: list[Refusal] = field(default_factory=list)
    """What has not been measured at all, and why."""
    seconds: float = 0.0

    @property
    def unequal(self) -> list[Refusal]:
        """Members whose outputs differ from the baseline's, and which were therefore not timed."""
        return [refusal for compared in self.comparisons for refusal in compared.refused if refusal.differs]

    @property
    def timed_any(self) -> bool:
        """Whether there is any figure of a model."""
        return any(compared.timed for compared in self.comparisons)

    def to_json(self) -> str:
        """Return the record as JSON text."""
        record = {
            "format_version": FORMAT_VERSION,
            "started": self.started,
            "seconds": round(self.seconds, 1),
            "command": list(self.command),
            "machine": self.machine,
            "versions": self.versions,
            "settings": self.settings,
            "comparisons": [compared.to_json() for compared in self.comparisons],
            "node_stages": [stages.to_json() for stages in self.node_stages],
            "node_overhead": [asdict(overhead) for overhead in self.node_overhead],
            "left_out": [asdict(refusal) for refusal in self.left_out],
        }
        return json.dumps(record, indent=1, allow_nan=False) + "\n"


def describe_setting(report: BenchReport) -> list[str]:
    """Return machine and versions in a few lines."""
    machine = report.machine
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['cpu_instructions']) or 'no known extensions'}",
        ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    ]
    lines += [f"{gpu['name']}, driver {gpu['driver']}, {gpu['memory']}" for gpu in machine["gpus"]]
    if (busy := machine["busy_percent"]) is not None and busy > _BUSY_PERCENT:
        lines.append(f"BUSY: other programs took {busy:.0f} % of the CPU before the start; do not keep these figures")
    if machine["board"]:
        lines.insert(0, machine["board"])
    return lines
