"""Times depth_node over DDS without the network's own time: `python -m metric3d_ros.bench.node.overhead`."""

import argparse
import contextlib
import os
import platform
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metric3d_ros.bench.node.own_domain import enter_own_domain
from metric3d_ros.bench.node.stub_node import LATENCY_VARIABLE, PROVIDER_VARIABLE
from metric3d_ros.command_line import require_numbers
from metric3d_ros.errors import Metric3DError
from metric3d_ros.program import program

EVERYTHING = [
    "depth/image",
    "depth/camera_info",
    "depth/image_color",
    "normals/image",
    "normals/image_color",
    "confidence/image",
    "points",
]
"""All outputs but the PNG of depth/image/compressedDepth, and scan, which is off by default."""
STUB_NODE = "metric3d_ros.bench.node.stub_node"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One thing to measure."""

    name: str
    size_hw: tuple[int, int]
    topics: Sequence[str]
    rate_hz: float
    latency_ms: float = 0.0
    """Latency of the stand-in for the network."""
    parameters: Mapping[str, str]
    seconds: float
    provider: str = "cpu"
    """Where the stand-in for the network seems to run."""
    by_default: bool = True
    """Runs when no scenario is named."""


SCENARIOS = [
    Scenario(
        name="overhead-1080p",
        size_hw=(1080, 1920),
        topics=EVERYTHING,
        rate_hz=3.0,
        parameters={"points.stride": "2"},
        seconds=30.0,
    ),
    Scenario(
        name="overhead-vga",
        size_hw=(480, 640),
        topics=EVERYTHING,
        rate_hz=10.0,
        parameters={"points.stride": "2"},
        seconds=20.0,
    ),
    Scenario(
        name="slow-network",
        size_hw=(480, 640),
        topics=["depth/image"],
        rate_hz=60.0,
        latency_ms=400.0,
        parameters={},
        seconds=120.0,
    ),
    # The gain of overlapping frames: without it, as with a network on the CPU, and with it.
    *(
        Scenario(
            name=name,
            size_hw=(1080, 1920),
            topics=["depth/image", "points"],
            rate_hz=30.0,
            latency_ms=30.0,
            parameters={"points.stride": "2"},
            seconds=20.0,
            provider=provider,
            by_default=False,
        )
        for name, provider in (("in-turn-1080p", "cpu"), ("overlap-1080p", "cuda"))
    ),
]


def run(scenario: Scenario, *, seconds: float) -> str:
    """Run one scenario and return its results as text; Metric3DError if the node does not answer."""
    enter_own_domain()
    # After the environment, which both read when they are imported or initialised.
    import rclpy
    from rclpy.context import Context
    from rclpy.utilities import get_rmw_implementation_identifier

    from metric3d_ros.nodes.instruments.load_probe import LoadProbe
    from metric3d_ros.nodes.instruments.node_process import running_node
    from metric3d_ros.nodes.transport.large_messages import prepare_for_large_messages

    environment = os.environ | {
        LATENCY_VARIABLE: f"{scenario.latency_ms:g}",
        PROVIDER_VARIABLE: scenario.provider,
    }
    # Of its own, so that no other node on this machine's network can interfere.
    namespace = f"bench_{os.getpid()}"
    arguments = ["-r", f"__ns:=/{namespace}"]
    arguments += [word for name, value in scenario.parameters.items() for word in ("-p", f"{name}:={value}")]
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(running_node(arguments, module=STUB_NODE, environment=environment))
        prepare_for_large_messages(rmw_implementation=get_rmw_implementation_identifier())
        context = Context()
        rclpy.init(context=context)
        stack.callback(rclpy.shutdown, context=context)
        probe = LoadProbe(context, namespace=namespace, topics=scenario.topics, size_hw=scenario.size_hw)
        stack.callback(probe.close)
        if not probe.connect():
            raise Metric3DError(f"depth_node did not answer on {', '.join(scenario.topics)}")
        before_s = cpu_seconds(node.pid)
        with memory_samples(node.pid, every_s=seconds / 10) as samples:
            measured = probe.measure(rate_hz=scenario.rate_hz, seconds=seconds)
        after_s = cpu_seconds(node.pid)
    stages = measured.stages_ms
    overhead_ms = np.subtract(stages["total_ms"], stages["infer_ms"])
    height, width = scenario.size_hw
    lines = [
        f"{scenario.name}: {width}x{height} bgr8 at {scenario.rate_hz:g} Hz for {seconds:g} s, network "
        f"{scenario.latency_ms:g} ms, {len(scenario.topics)} topics",
        row("node, without the network", overhead_ms),
        *(row(f"  {stage.removesuffix('_ms')}", times) for stage, times in stages.items() if stage != "infer_ms"),
        *(row(f"stamp to arrival, {topic}", measured.arrival_ms[topic]) for topic in scenario.topics),
        f"  images sent {measured.sent}, " + ", ".join(f"{key} {value}" for key, value in measured.counts.items()),
        f"  {len(overhead_ms) / seconds:.1f} frames published a second",
        f"  CPU time {(after_s - before_s) / max(len(overhead_ms), 1) * 1e3:.1f} ms a frame published, all threads",
        f"  memory in MiB, from start to end: {' '.join(f'{sample.own_mib:.0f}' for sample in samples)}",
        f"  shared memory that it has mapped, MiB: {' '.join(f'{sample.shared_mib:.0f}' for sample in samples)}",
    ]
    return "\n".join(lines)


def row(name: str, times_ms: npt.ArrayLike) -> str:
    """Return one line of the table."""
    times_ms = np.asarray(times_ms)
    if not times_ms.size:
        return f"  {name:<40} nothing came"
    p50, p95, most = np.percentile(times_ms, [50, 95, 100])
    return f"  {name:<40} p50 {p50:7.1f}  p95 {p95:7.1f}  max {most:7.1f} ms  ({times_ms.size})"


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process at one moment."""

    own_mib: float
    """Its own, and the files that it has loaded."""
    shared_mib: float
    """The parts that it has touched of its own Fast DDS segment and of those that others wrote messages for it to.

    A process that stood still for a moment finds more images waiting in the camera's segment and so maps more of that.
    It belongs to the camera, whose size it cannot exceed, and is there once, however many read it.
    """


def read_memory(pid: int) -> Memory:
    """Return the memory that a process holds."""
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    mib = {key: int(value.split()[0]) / 1024 for key, _, value in lines if key.startswith("Rss")}
    return Memory(own_mib=mib["RssAnon"] + mib["RssFile"], shared_mib=mib["RssShmem"])


@contextlib.contextmanager
def memory_samples(pid: int, *, every_s: float) -> Iterator[list[Memory]]:
    """Sample the memory of a process as long as the context lasts."""
    samples, stop = [read_memory(pid)], threading.Event()

    def sample() -> None:
        while not stop.wait(every_s):
            samples.append(read_memory(pid))

    thread = threading.Thread(target=sample, name="memory")
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process, which is more reliable than wall time on a busy machine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@program("error")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the scenarios that are asked for; return the exit code."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m metric3d_ros.bench.node.overhead", description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=[*names, []], metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("--seconds", type=float, help="how long each one runs (default: its own length)")
    options = parser.parse_args(argv)
    require_numbers(options, "seconds", above=0)
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python ", end="")
    print(platform.python_version(), flush=True)
    for scenario in SCENARIOS:
        if scenario.name in options.scenarios or (scenario.by_default and not options.scenarios):
            print(run(scenario, seconds=options.seconds or scenario.seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
