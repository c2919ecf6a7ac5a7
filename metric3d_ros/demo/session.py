"""DemoSession: runs player and node as processes and collects everything they exchange, frame by frame."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metric3d_ros.demo.child_processes import Child, running_children, start_module
from metric3d_ros.demo.frame_record import FrameRecord, measure_record
from metric3d_ros.demo.frame_sources import FrameSource
from metric3d_ros.demo.terminal import LiveView
from metric3d_ros.estimation.depth_model import locate_model
from metric3d_ros.pictures import depth_to_rgb

if TYPE_CHECKING:
    from metric3d_ros.nodes.instruments.collector import CollectedFrame, CollectorSession

_PENDING_BYTES = 512 << 20
_PLAYER_RATE_HZ = 100.0  # the player waits for each result, so this only bounds how soon it looks for one
_SPIN_S = 0.05
_LINGER_S = 5.0


@dataclass(frozen=True)
class NodeOptions:
    """depth_node's parameters of the same names."""

    model: str
    provider: str
    inference_size: str


class DemoSession:
    """One run of image_player and depth_node, as processes, over a frame source; this process collects the results."""

    def __init__(
        self,
        source: FrameSource,
        options: NodeOptions,
        *,
        on_record: Callable[[FrameRecord], None],
        live: LiveView,
        logs: Path,
        timeout_s: float,
    ) -> None:
        """Prepare a run; `on_record` gets each frame later, from `draw_pending`, or earlier if memory runs short."""
        self._source = source
        self._options = options
        self._on_record = on_record
        self._live = live
        self._logs = logs
        self._timeout_s = timeout_s
        self._namespace = f"/metric3d_demo_{os.getpid()}"
        self._pending: list[FrameRecord] = []
        self._times_s: list[float] = []

    def run(self, *, on_ready: Callable[[str, Mapping[str, str]], None] | None = None) -> float:
        """Play all frames and collect what comes back; return the rate in frames per second.

        `on_ready` is called with the topics' namespace and the environment for ROS once the node waits for images.
        """
        environment = _ros_environment(self._logs)
        os.environ.update(environment)
        from metric3d_ros.nodes.instruments.collector import (
            CollectorSession,  # loads rclpy, which reads the environment
        )

        with running_children() as children, CollectorSession(self._namespace, on_frame=self._take) as session:
            node = self._start("depth_node", [], self._node_parameters(), environment)
            children.append(node)
            self._wait_until_ready(session, node)
            if on_ready is not None:
                on_ready(self._namespace, environment)
            player = self._start("image_player", self._player_options(), [], environment)
            children.append(player)
            self._wait_for_frames(session, node, player)
        self._live.clear()
        gaps = np.diff(self._times_s)
        return float(1 / np.median(gaps)) if len(gaps) else 0.0

    def draw_pending(self) -> Iterator[tuple[int, int]]:
        """Draw the pending frames into the report, yielding the progress."""
        total = len(self._pending)
        while self._pending:
            self._on_record(self._pending.pop(0))
            yield total - len(self._pending), total

    def _start(self, node: str, options: list[str], parameters: list[str], environment: Mapping[str, str]) -> Child:
        ros = ["--ros-args", "-r", f"__ns:={self._namespace}", *parameters]
        log = self._logs / f"{node}.log"
        return start_module(f"metric3d_ros.nodes.{node}", [*options, *ros], log=log, environment=environment)

    def _node_parameters(self) -> list[str]:
        parameters = {
            "model": locate_model(self._options.model),
            "provider": self._options.provider,
            "inference_size": self._options.inference_size,
        }
        return [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]

    def _player_options(self) -> list[str]:
        # In step with the collector, so that no frame is dropped however slow the model or this process is.
        pace = ["--rate", str(_PLAYER_RATE_HZ), "--lockstep", "collected"]
        # Less than this process's own timeout, so that one dropped frame costs a wait and not the whole demo.
        patience = ["--lockstep-timeout-s", str(self._timeout_s / 2)]
        return [self._source.images, *self._source.player_options, *pace, *patience]

    def _wait_until_ready(self, session: "CollectorSession", node: Child) -> None:
        """Spin until depth_node wants images; raise ChildError if it ends or never does."""
        begun_s = time.monotonic()
        while not session.collector.is_connected():
            session.spin_once(_SPIN_S)
            waited_s = time.monotonic() - begun_s
            self._live.waiting(f"starting depth_node, loading model {self._options.model} ...", waited_s)
            if node.exit_code is not None:
                raise node.failure(f"ended with exit code {node.exit_code} before it was ready")
            if waited_s > self._timeout_s:
                raise node.failure(f"was not ready after {self._timeout_s:g} s (--timeout)")
        self._live.clear()

    def _wait_for_frames(self, session: "CollectorSession", node: Child, player: Child) -> None:
        """Spin until every frame has come back, or the player has ended; raise ChildError for timeouts and failures."""
        total = len(self._source.paths)
        heard_s = time.monotonic()
        while (before := len(self._times_s)) < total:
            session.spin_once(_SPIN_S)
            now_s = time.monotonic()
            if len(self._times_s) > before:
                heard_s = now_s
            if node.exit_code is not None:
                raise node.failure(f"ended with exit code {node.exit_code} after {before} of {total} frames")
            if player.exit_code:
                raise player.failure(f"ended with exit code {player.exit_code}")
            # The player succeeded, so everything was played; messages in transit get a moment more.
            if player.exit_code == 0 and now_s - heard_s > _LINGER_S:
                break
            if now_s - heard_s > self._timeout_s:
                raise node.failure(
                    f"gave nothing for {self._timeout_s:g} s at frame {before + 1} of {total} (--timeout)"
                )
        self._live.clear()
        if len(self._times_s) < total:
            self._report_missing(session, node, total)

    def _report_missing(self, session: "CollectorSession", node: Child, total: int) -> None:
        """Print how many frames came back and which topics the others lacked; raise ChildError if none came back."""
        missing = session.collector.missing
        lacking = f"; never came: {', '.join(sorted(set().union(*missing)))}" if missing else ""
        if not self._times_s:
            raise node.failure(f"gave no complete result for any of the {total} frames{lacking}")
        done = len(self._times_s)
        self._live.print_line(f"{done} of {total} frames came back{lacking}; the logs in {self._logs} may show why")

    def _take(self, frame: "CollectedFrame") -> None:
        """Identify and measure a frame as it arrives, show it, and keep it for the report."""
        index = self._source.index_of(frame.rgb)
        if index is None or len(self._times_s) >= len(self._source.paths):
            return
        self._times_s.append(time.monotonic())
        truth = self._source.truth_of(index) if self._source.truth_of else None
        record = FrameRecord(
            index=index,
            name=self._source.paths[index].name,
            rgb=frame.rgb,
            camera=frame.camera,
            depth_m=frame.depth_m,
            normals=frame.normals,
            confidence=frame.confidence,
            latency_ms=frame.latency_ms,
            truth=truth,
            figures=measure_record(frame.depth_m, frame.normals, truth) if truth else None,
        )
        self._show(record)
        self._pending.append(record)
        # Pictures are drawn after the run, since drawing would slow it down, unless too many are pending.
        if sum(each.nbytes for each in self._pending) > _PENDING_BYTES:
            for _ in self.draw_pending():
                pass

    def _show(self, record: FrameRecord) -> None:
        done, total = len(self._times_s), len(self._source.paths)
        recent = self._times_s[-10:]
        details = [f"{(len(recent) - 1) / (recent[-1] - recent[0]):.1f} frames/s"] if len(recent) > 1 else []
        details.append(f"latency {record.latency_ms['depth/image']:.0f} ms")
        if record.figures is not None:
            details.append(f"error {record.figures['abs_rel']:.1%}")
        pictures = [record.rgb, depth_to_rgb(record.depth_m)]
        if record.truth is not None:
            pictures.append(depth_to_rgb(record.truth.depth_m))
        self._live.frame(pictures, "frame", done, total, detail=", ".join(details))


def _ros_environment(logs: Path) -> dict[str, str]:
    """Return what this process and its children set for ROS, each unless the user has.

    Discovery stays on this machine, so that two people in one network can run the demo; ROS refuses to start without a
    place for its logs, which a machine without HOME would not give it.
    """
    chosen = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_LOG_DIR": str(logs)}
    return {name: os.environ.get(name, value) for name, value in chosen.items()}
