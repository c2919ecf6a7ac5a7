"""`metric3d demo`: frames through image_player, DDS and depth_node, shown on the terminal and kept in a report."""

import argparse
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

from metric3d_ros.camera.camera import MOST_FOCAL_PX, MOST_HFOV_DEG
from metric3d_ros.command_line import require_numbers
from metric3d_ros.demo.child_processes import running_children
from metric3d_ros.demo.frame_sources import ChosenImages, FrameSource, choose_images, open_images, render_flight
from metric3d_ros.demo.report import MEANINGLESS, Report, RunFacts
from metric3d_ros.demo.session import DemoSession, NodeOptions
from metric3d_ros.demo.terminal import LiveView
from metric3d_ros.demo.viewer_process import VIEWERS, DemoViewer, check_viewer
from metric3d_ros.engine import AUTO, DEMO_MODEL, PROVIDERS
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.demo_limits import explain_demo_limits
from metric3d_ros.estimation.depth_model import DepthModel, open_model
from metric3d_ros.estimation.inference_size import NATIVE, InferenceSize
from metric3d_ros.files.exclusive import hold_file
from metric3d_ros.world.rendering.viewpoint import MOST_FRAMES

FLIGHT_SCENE = 1_000_000_014  # held out from training; chosen for its looks among those on which the model is accurate
FLIGHT_FRAMES = 60
_MARKER = ".metric3d_demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d demo`."""
    parser.add_argument(
        "--model", default=DEMO_MODEL, help="an ONNX file, a name such as vit_small, or 'demo' (default)"
    )
    parser.add_argument(
        "--images", metavar="PATH", help="your own image, folder or glob pattern instead of the camera flight"
    )
    parser.add_argument(
        "--focal", type=float, metavar="PX", help="their focal length, pixels (default: from their EXIF data)"
    )
    parser.add_argument("--hfov", type=float, metavar="DEG", help="or their horizontal field of view, degrees")
    parser.add_argument(
        "--calibration", metavar="FILE", help="or a calibration file of camera_calibration, OpenCV or Kalibr"
    )
    parser.add_argument(
        "--frames", type=int, default=FLIGHT_FRAMES, metavar="N", help="maximum number of frames (default: %(default)s)"
    )
    parser.add_argument(
        "--scene",
        type=int,
        default=FLIGHT_SCENE,
        metavar="SEED",
        help="seed of the flight's scene (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo_output"),
        metavar="DIR",
        help="folder of the results (default: %(default)s)",
    )
    parser.add_argument(
        "--provider", default=AUTO, choices=[AUTO, *PROVIDERS], help="where the model runs (default: %(default)s)"
    )
    parser.add_argument(
        "--inference-size",
        default=NATIVE,
        metavar="SIZE",
        help="native (default), trained, published, WIDTHxHEIGHT or 0.5MP",
    )
    parser.add_argument("--viewer", choices=VIEWERS, help="watch it live in Rerun, in a window or a browser")
    parser.add_argument(
        "--timeout",
        type=float,
        default=180.0,
        metavar="S",
        help="give up after S seconds without an output (default: 180)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo and print where its pictures are; raises Metric3DError for what a user can mend."""
    require_numbers(args, "frames", least=1, most=MOST_FRAMES)
    require_numbers(args, "timeout", above=0, unit="seconds")
    require_numbers(args, "focal", above=0, most=MOST_FOCAL_PX, unit="pixels")
    require_numbers(args, "hfov", above=0, most=MOST_HFOV_DEG, unit="degrees")
    InferenceSize.parse(args.inference_size)
    if args.viewer:
        check_viewer(args.viewer)
    started_s = time.monotonic()
    live = LiveView()
    with ExitStack() as held, running_children() as children:
        # A mistake shows before a model is downloaded, and before anything is rendered.
        chosen = _choose_images(args)
        model = open_model(args.model, provider=args.provider)
        meaningless = model.metadata is not None and model.metadata.meaningless
        limits = explain_demo_limits(model, remedy="MODEL=vit_small (or --model vit_small)") if args.images else ""
        if meaningless or limits:
            live.print_line(f"!!! {MEANINGLESS if meaningless else limits}")
        output = _make_output(args.output, held)
        source = open_images(chosen, links=output / "played") if chosen else _render(args, output, live)
        for reason in source.left_out:
            live.print_line(f"left out: {reason}")
        for remark in chosen.remarks if chosen else ():
            live.print_line(remark)
        facts = RunFacts(
            source=source.title,
            model=_describe(model),
            meaningless=meaningless,
            limits=limits,
            has_truth=source.truth_of is not None,
            far_m=source.far_m,
            expected=len(source.paths),
        )
        report = Report(output, facts)
        options = NodeOptions(args.model, args.provider, args.inference_size)
        session = DemoSession(
            source, options, on_record=report.add, live=live, logs=output / "logs", timeout_s=args.timeout
        )
        viewer = DemoViewer(args.viewer, children=children, live=live, logs=output / "logs") if args.viewer else None
        frames_per_s = session.run(on_ready=viewer.start if viewer else None)
        for done, total in session.draw_pending():
            live.progress("drawing pictures", done, total)
        live.progress("writing the report", 0, 1)
        written = report.finish(frames_per_s=frames_per_s, wall_s=time.monotonic() - started_s)
        _print_results(live, report, written, meaningless)
        if viewer is not None:
            viewer.linger()
    return 0


def _describe(model: DepthModel) -> str:
    """Return the model's name with its variant and provider."""
    kind = f" ({model.metadata.variant}, {model.metadata.precision})" if model.metadata is not None else ""
    return f"{model.name}{kind} on {model.provider}"


def _make_output(folder: Path, stack: ExitStack) -> Path:
    """Make the output folder, or empty one that an earlier run made; it is this run's until `stack` is closed.

    A folder with anything else in it is refused, and one in which another demo runs.
    """
    marker = folder / _MARKER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not marker.exists():
            raise ConfigurationError(
                f"{folder} holds files that the demo did not write; name a new or empty folder with --output"
            )
        stack.enter_context(hold_file(marker, on_wait=lambda: _refuse_shared(folder)))
        # An older run's pictures would be taken for this one's. The marker stays: this process may be killed here.
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != marker:
                path.unlink()
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder} ({error.strerror}); choose another --output") from error
    return folder.resolve()


def _refuse_shared(folder: Path) -> None:
    raise ConfigurationError(f"another demo writes to {folder}: wait for it, or name another folder with --output")


def _choose_images(args: argparse.Namespace) -> ChosenImages | None:
    if args.images:
        return choose_images(
            args.images, focal_px=args.focal, hfov_deg=args.hfov, calibration=args.calibration, limit=args.frames
        )
    if args.focal or args.hfov or args.calibration:
        raise ConfigurationError("intrinsics were given without images; give --images (IMAGES=DIR) too, or neither")
    return None


def _render(args: argparse.Namespace, output: Path, live: LiveView) -> FrameSource:
    source = render_flight(
        output / "flight",
        scene_seed=args.scene,
        frames=args.frames,
        on_progress=lambda done, total: live.progress("rendering a camera flight", done, total),
    )
    live.clear()
    return source


def _print_results(live: LiveView, report: Report, written: list[tuple[str, Path]], meaningless: bool) -> None:
    live.clear()
    accuracy = report.accuracy()
    if accuracy is not None:
        for words, *numbers in accuracy.rows:
            live.print_line(f"  {words:<44} {numbers[0]:>8}  (median frame {numbers[1]})")
    for words, topic, median, slow in report.latency().rows:
        live.print_line(f"  {f'{words} ({topic}) after':<44} {median:>8}  (90 %: {slow})")
    width = max(len(words) for words, _ in written)
    for words, path in written:
        live.print_line(f"{words:<{width}}  {path}")
    if meaningless:
        live.print_line(f"!!! {MEANINGLESS}")
