"""`metric3d demo`: frames through image_player, DDS and depth_node, watched on the terminal and kept in a report."""

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from metric3d_ros.demo.frame_record import FrameRecord, measure_record
from metric3d_ros.demo.frame_sources import FrameSource, open_images, render_flight
from metric3d_ros.demo.live import LiveView
from metric3d_ros.demo.processes import Child, running_children, start_module
from metric3d_ros.demo.report import MEANINGLESS, Report, RunFacts
from metric3d_ros.engine import AUTO, DEMO_MODEL, PROVIDERS, open_engine
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimator import NATIVE, InferenceSize
from metric3d_ros.pictures import depth_to_rgb

if TYPE_CHECKING:
    from metric3d_ros.nodes.collector import CollectedFrame, CollectorSession

FLIGHT_SCENE = 7
FLIGHT_FRAMES = 60
_PENDING_BYTES = 512 << 20
_PLAYER_RATE_HZ = 100.0  # the player waits for each result, so this only bounds how soon it looks for one
_SPIN_S = 0.05
_LINGER_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d demo`."""
    parser.add_argument("--model", default=DEMO_MODEL, help="ONNX file, or 'demo' (default)")
    parser.add_argument("--images", metavar="PATH", help="your own image, folder or pattern instead of the flight")
    parser.add_argument("--focal", type=float, metavar="PX", help="focal length of these images, pixels")
    parser.add_argument("--hfov", type=float, metavar="DEG", help="or their horizontal field of view, degrees")
    parser.add_argument("--calibration", metavar="YAML", help="or a calibration in camera_calibration's format")
    parser.add_argument("--frames", type=int, default=FLIGHT_FRAMES, metavar="N", help="at most (default: %(default)s)")
    parser.add_argument("--scene", type=int, default=FLIGHT_SCENE, metavar="SEED", help="scene of the flight")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--provider", default=AUTO, choices=[AUTO, *PROVIDERS], help="default: %(default)s")
    parser.add_argument("--inference-size", default=NATIVE, help="native, trained, WIDTHxHEIGHT or 0.5MP")
    parser.add_argument("--timeout", type=float, default=180.0, metavar="S", help="longest silence (default: 180 s)")
    parser.add_argument("--viewer", choices=["rerun", "web"], help="watch it in Rerun: its window, or your browser")


def run(args: argparse.Namespace) -> int:
    """Run the demo and print where its pictures are; raises Metric3DError for what a user can mend."""
    if args.frames < 1:
        raise ConfigurationError(f"--frames is {args.frames}, expected at least 1")
    if not args.timeout > 0:
        raise ConfigurationError(f"--timeout is {args.timeout:g}, expected seconds above 0")
    InferenceSize.parse(args.inference_size)
    started_s = time.monotonic()
    live = LiveView()
    with _terminated_as_interrupted():
        model, meaningless = _inspect_model(args)
        if meaningless:
            live.say(f"!!! {MEANINGLESS}")
        output = _make_output(args.output)
        source = _open_source(args, output, live)
        facts = RunFacts(
            source=source.title,
            model=model,
            meaningless=meaningless,
            has_truth=source.truth_of is not None,
            far_m=source.far_m,
            expected=len(source.paths),
        )
        report = Report(output, facts)
        session = _Session(args, source, report, live, output / "logs")
        frames_per_s = session.run()
        for done, total in session.draw_pending():
            live.progress("drawing pictures", done, total)
        live.progress("writing the report", 0, 1)
        written = report.finish(frames_per_s=frames_per_s, wall_s=time.monotonic() - started_s)
    _print_results(live, report, written, meaningless)
    return 0


class _Session:
    """One run of player, node and collector over a frame source."""

    def __init__(
        self, args: argparse.Namespace, source: FrameSource, report: Report, live: LiveView, logs: Path
    ) -> None:
        self._args = args
        self._source = source
        self._report = report
        self._live = live
        self._logs = logs
        self._namespace = f"/metric3d_demo_{os.getpid()}"
        self._pending: list[FrameRecord] = []
        self._times_s: list[float] = []
        self._drawn = 0

    def run(self) -> float:
        """Play all frames and collect what comes back; return the rate in frames per second."""
        environment = _ros_environment(self._logs)
        os.environ.update(environment)
        from metric3d_ros.nodes.collector import CollectorSession  # loads rclpy, which reads the environment

        with running_children() as children, CollectorSession(self._namespace, on_frame=self._take) as session:
            node = self._start("depth_node", [], self._node_parameters(), environment)
            children.append(node)
            self._wait_until_ready(session, node)
            player = self._start("image_player", self._player_options(), [], environment)
            children.append(player)
            self._wait_for_frames(session, node, player)
        self._live.clear()
        gaps = np.diff(self._times_s)
        return float(1 / np.median(gaps)) if len(gaps) else 0.0

    def draw_pending(self) -> Iterator[tuple[int, int]]:
        """Draw what was kept for later into the report, yielding how much is done."""
        total = len(self._pending)
        while self._pending:
            self._report.add(self._pending.pop(0))
            yield total - len(self._pending), total

    def _start(self, node: str, options: list[str], parameters: list[str], environment: Mapping[str, str]) -> Child:
        ros = ["--ros-args", "-r", f"__ns:={self._namespace}", *parameters]
        log = self._logs / f"{node}.log"
        return start_module(f"metric3d_ros.nodes.{node}", [*options, *ros], log=log, environment=environment)

    def _node_parameters(self) -> list[str]:
        parameters = {
            "model": _absolute_model(self._args.model),
            "provider": self._args.provider,
            "inference_size": self._args.inference_size,
        }
        return [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]

    def _player_options(self) -> list[str]:
        # In step with depth_node, so that no frame is dropped however slow the model is.
        pace = ["--rate", str(_PLAYER_RATE_HZ), "--lockstep", "depth/image"]
        patience = ["--lockstep-timeout-s", str(self._args.timeout)]
        return [self._source.images, *self._source.player_options, *pace, *patience]

    def _wait_until_ready(self, session: "CollectorSession", node: Child) -> None:
        """Spin until depth_node wants images; raise ChildError if it ends or never does."""
        begun_s = time.monotonic()
        while not session.collector.is_connected():
            session.spin_once(_SPIN_S)
            waited_s = time.monotonic() - begun_s
            self._live.waiting(f"starting depth_node, loading model {self._args.model} ...", waited_s)
            if node.exit_code is not None:
                raise node.failure(f"ended with exit code {node.exit_code} before it was ready")
            if waited_s > self._args.timeout:
                raise node.failure(f"was not ready after {self._args.timeout:g} s (--timeout)")
        self._live.clear()

    def _wait_for_frames(self, session: "CollectorSession", node: Child, player: Child) -> None:
        """Spin until every frame has come back, or the player has ended; raise ChildError for silence and failures."""
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
            # The player has ended well, so everything was played; what is on its way gets a moment more.
            if player.exit_code == 0 and now_s - heard_s > _LINGER_S:
                break
            if now_s - heard_s > self._args.timeout:
                raise node.failure(f"gave nothing for {self._args.timeout:g} s at frame {before + 1} of {total} (--timeout)")
        self._live.clear()
        if not self._times_s:
            raise node.failure(f"gave nothing for any of the {total} frames")
        if len(self._times_s) < total:
            lacking = "; ".join(", ".join(sorted(topics)) for topics in session.collector.missing())
            self._live.say(
                f"{len(self._times_s)} of {total} frames came back whole; the logs in {self._logs} may say why"
                + (f" (never came: {lacking})" if lacking else "")
            )

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
        # Pictures wait until the run is over, since drawing them would slow it down; only not for ever.
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


def _inspect_model(args: argparse.Namespace) -> tuple[str, bool]:
    """Return the model's name with its variant and whether its weights are stand-ins; ModelError if it is unusable.

    A wrong path or provider is said here, before anything is rendered or started.
    """
    engine = open_engine(args.model, provider=args.provider)
    metadata = engine.metadata
    if metadata is None:
        return f"{engine.model_name} on {engine.provider}", False
    return f"{engine.model_name} ({metadata.variant}, {metadata.precision}) on {engine.provider}", metadata.meaningless


def _make_output(folder: Path) -> Path:
    """Make the output folder; an older run's pictures in it would be taken for this one's, so they are removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in ("frames/*.jpg", "clouds/*.ply", "flight/[0-9]*", "map.ply", "index.html", "overview.png"):
            for old in folder.glob(pattern):
                old.unlink()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder} ({error.strerror}); choose another --output") from error
    return folder.resolve()


def _open_source(args: argparse.Namespace, output: Path, live: LiveView) -> FrameSource:
    if args.images:
        return open_images(
            args.images,
            focal_px=args.focal,
            hfov_deg=args.hfov,
            calibration=args.calibration,
            limit=args.frames,
        )
    if args.focal or args.hfov or args.calibration:
        raise ConfigurationError("intrinsics were given without images; give --images (IMAGES=DIR) too, or neither")
    source = render_flight(
        output / "flight",
        scene_seed=args.scene,
        frames=args.frames,
        on_progress=lambda done, total: live.progress("rendering a camera flight", done, total),
    )
    live.clear()
    return source


def _ros_environment(logs: Path) -> dict[str, str]:
    """Return what this process and its children set for ROS, each unless the user has.

    Discovery stays on this machine, so that two people in one network can run the demo; ROS refuses to start without a
    place for its logs, which a machine without HOME would not give it.
    """
    chosen = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_LOG_DIR": str(logs)}
    return {name: os.environ.get(name, value) for name, value in chosen.items()}


def _absolute_model(model: str) -> str:
    return model if model == DEMO_MODEL else str(Path(model).expanduser().resolve())


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, through every clean-up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_results(live: LiveView, report: Report, written: list[tuple[str, Path]], meaningless: bool) -> None:
    live.clear()
    accuracy = report.accuracy()
    if accuracy is not None:
        for words, *numbers in accuracy.rows:
            live.say(f"  {words:<44} {numbers[0]:>8}  (median frame {numbers[1]})")
    for words, topic, median, slow in report.latency().rows:
        live.say(f"  {f'{words} ({topic}) after':<44} {median:>8}  (90 %: {slow})")
    width = max(len(words) for words, _ in written)
    for words, path in written:
        live.say(f"{words:<{width}}  {path}")
    if meaningless:
        live.say(f"!!! {MEANINGLESS}")
