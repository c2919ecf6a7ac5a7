"""`make soak`: a camera, depth_node with the demo model, and subscribers that come and go, for a while; then a verdict.

Busy phases, with subscribers, changed parameters, pauses and snapshots, alternate with quiet ones, in which only the
camera is left. In these the node's memory, descriptors and threads are compared. The camera sends hostile images too.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from process_figures import ProcessFigures
from ros_process import RosProcess, TestBench, next_domain, parameters, ros_environment, running_node
from std_srvs.srv import SetBool, Trigger
from tqdm import tqdm

from metric3d_ros.nodes.outlet.message_classes import message_class
from metric3d_ros.outputs.table import OUTPUTS

MOST_GROWTH_BYTES = 10 << 20
_PHASES_S = (20.0, 5.0)
"""Busy and quiet; shorter ones if there is less time."""
_LEAST_CYCLES = 3
_WARM_UP_SHARE = 0.2
_CAMERA = "depth_node: camera"


@dataclass
class Record:
    """What a soak saw."""

    looks: list[ProcessFigures] = field(default_factory=list)
    """One at the end of each quiet phase."""
    sent: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """The node's last counts, by their names in /diagnostics."""
    received_outputs: int = 0
    """Messages that the subscribers got."""
    exit_code: int | None = None
    complaints: list[str] = field(default_factory=list)
    """Lines of the node's log with a traceback or an error."""

    @property
    def dropped(self) -> int:
        """Frames that were received, not published, and counted with a reason."""
        return sum(count for name, count in self.counts.items() if name.startswith("dropped, "))


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the verdict; return 0 if every promise was kept."""
    options = _parse(argv)
    print(f"soak: {options.minutes:g} minutes at {options.rate:g} images a second, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="metric3d_soak_") as folder:
        record = soak(seconds=options.minutes * 60, rate_hz=options.rate, seed=options.seed, folder=Path(folder))
    lines, is_good = verdict(record)
    print("\n".join(f"  {line}" for line in lines))
    print(f"VERDICT {'all promises kept' if is_good else 'NOT KEPT'} ({options.minutes:g} minutes)")
    return 0 if is_good else 1


def verdict(record: Record) -> tuple[list[str], bool]:
    """Return a line for each promise, and whether all were kept."""
    counts, mib = record.counts, 1 << 20
    received, published, lost = (
        counts.get(name, -1) for name in ("images received", "frames published", "images lost on the way")
    )
    looks = record.looks[int(len(record.looks) * _WARM_UP_SHARE) :]
    promises: list[tuple[bool, str]] = [
        (
            published > 0 and received == published + record.dropped,
            f"frames: {received} received = {published} published + {record.dropped} dropped and counted",
        ),
        (record.sent == received + lost, f"images: {record.sent} sent = {received} received + {lost} lost and counted"),
        (record.received_outputs > 0, f"subscribers got {record.received_outputs} messages"),
        (len(looks) >= 2, f"{len(looks)} quiet phases compared"),
        (record.exit_code == 0, f"exit code {record.exit_code} after SIGINT"),
        (not record.complaints, f"{len(record.complaints)} errors logged{_first(record.complaints)}"),
    ]
    if len(looks) >= 2:
        own, pss = _growth([look.own_bytes for look in looks]), _growth([look.proportional_bytes for look in looks])
        in_all = looks[-1].own_bytes / mib
        promises += [
            (
                own < MOST_GROWTH_BYTES,
                f"memory of its own: {own / mib:+.1f} MiB (PSS {pss / mib:+.1f} MiB) of {in_all:.0f} MiB",
            ),
            _constant("descriptors", [look.descriptors for look in looks]),
            _constant("threads", [look.threads for look in looks]),
            _constant("files in /dev/shm", [look.shared_files for look in looks]),
        ]
    return [f"{'kept' if kept else 'NOT KEPT'}: {text}" for kept, text in promises], all(kept for kept, _ in promises)


def _growth(values: Sequence[int]) -> float:
    """Return how far the median of the last third is above that of the first."""
    third = max(1, len(values) // 3)
    return statistics.median(values[-third:]) - statistics.median(values[:third])


def _constant(name: str, values: Sequence[int]) -> tuple[bool, str]:
    """Constant is what does not grow: a phase may begin before the last subscriber's traces are gone."""
    third = max(1, len(values) // 3)
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    return last <= first, f"{name}: {first:g} at first, {last:g} at last ({min(values)} to {max(values)})"


def _first(lines: Sequence[str]) -> str:
    return f": {lines[0]}" if lines else ""


def soak(*, seconds: float, rate_hz: float, seed: int, folder: Path) -> Record:
    """Run the camera, the node and the subscribers; return what was seen."""
    record, domain, rng = Record(), next_domain(), random.Random(f"soak {seed}")
    environment = ros_environment(folder / "log", domain) | {"ROS_PYTHON_CHECK_FIELDS": ""}
    snapshots = folder / "snapshots"
    arguments = parameters(threads=1, snapshot__folder=snapshots, outputs__scan=True, scan__frame_id="camera_link")
    cycle_s = min(sum(_PHASES_S), seconds / _LEAST_CYCLES)
    busy_s = cycle_s * _PHASES_S[0] / sum(_PHASES_S)
    watcher = TestBench(domain)
    reports = watcher.listen(DiagnosticArray, "/diagnostics")
    camera = None
    try:
        with running_node("depth_node", *arguments, environment=environment) as node:
            node.wait_for("ready", timeout_s=120.0)
            command = [sys.executable, "-m", "soak_camera", "--rate", str(rate_hz), "--seed", str(seed)]
            camera = RosProcess(command, environment)
            deadline_s = time.monotonic() + seconds
            with tqdm(total=round(seconds), unit="s", desc="soak", disable=None) as bar:
                while time.monotonic() < deadline_s:
                    record.received_outputs += _busy(domain, rng, busy_s, snapshots)
                    watcher.spin_for(cycle_s - busy_s)
                    record.looks.append(ProcessFigures.of(node.pid))
                    _take_counts(record, reports)
                    bar.set_postfix_str(f"{record.counts.get('images received', 0)} images")
                    bar.update(min(round(seconds - deadline_s + time.monotonic()), bar.total) - bar.n)
            camera.signal(signal.SIGINT)
            record.sent = int(camera.wait_for("sent ").split()[1])

            def is_settled() -> bool:
                _take_counts(record, reports)
                ended = record.counts.get("frames published", 0) + record.dropped
                return record.counts.get("images received", -1) == ended

            watcher.spin_for(2.5)  # two more reports
            watcher.spin_until(is_settled, timeout_s=10.0)
            node.signal(signal.SIGINT)
            record.exit_code = node.wait(timeout_s=20.0)
            words = ("Traceback", "[FATAL]", "please report it")
            record.complaints = [line for line in node.lines if any(word in line for word in words)]
    finally:
        if camera is not None:
            camera.close()
        watcher.close()
    return record


def _busy(domain: int, rng: random.Random, seconds: float, snapshots: Path) -> int:
    """Subscribe to some outputs as another process would, use the services, leave; return how many messages came."""
    bench = TestBench(domain, name="subscriber")
    try:
        outputs = rng.sample(OUTPUTS, rng.randint(1, 5))
        came = [bench.listen(message_class(output), output.topic) for output in outputs]
        bench.spin_for(seconds / 2)
        deed = rng.choice((_change_parameters, _pause, _take_snapshot, lambda *_: None))
        deed(bench, rng, snapshots)
        bench.spin_for(seconds / 2)
        return sum(len(messages) for messages in came)
    finally:
        bench.close()


def _change_parameters(bench: TestBench, rng: random.Random, _: Path) -> None:
    bench.set_parameters("depth_node", points__stride=rng.randint(1, 4), depth__max_m=rng.uniform(5.0, 100.0))


def _pause(bench: TestBench, _: random.Random, __: Path) -> None:
    bench.call(SetBool, "depth_node/set_enabled", SetBool.Request(data=False))
    bench.spin_for(0.5)
    bench.call(SetBool, "depth_node/set_enabled", SetBool.Request(data=True))


def _take_snapshot(bench: TestBench, _: random.Random, folder: Path) -> None:
    bench.call(Trigger, "depth_node/save_snapshot", Trigger.Request())
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _take_counts(record: Record, reports: list[DiagnosticArray]) -> None:
    for report in reports:
        for status in report.status:
            if status.name == _CAMERA:
                record.counts = {pair.key: int(pair.value) for pair in status.values if pair.value.isdigit()}
    reports.clear()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--rate", type=float, default=10.0, help="images a second (default: 10)")
    parser.add_argument("--seed", type=int, default=os.getpid(), help="of what happens (default: another each time)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
