"""Judges a camera whose images are too old when their outputs come out, and what would help."""

from collections.abc import Collection, Mapping
from typing import Any

from metric3d_ros.estimation.inference_size import AUTO_SIZE, TRAINED
from metric3d_ros.geometry.turning import turned_size
from metric3d_ros.nodes.health.camera_progress import CameraProgress
from metric3d_ros.nodes.health.late_images import Lateness
from metric3d_ros.nodes.health.speed_trial import SlowCase, SpeedTrial
from metric3d_ros.nodes.health.watched_camera import WatchedCamera
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters

# The first image of a size may take longer than all others, and busy is said of any.
_CONSPICUOUS = 3.0


def try_smaller_sizes(
    cameras: Collection[WatchedCamera], trial: SpeedTrial, parameters: DepthParameters, *, estimate_s: float, log: Any
) -> None:
    """Measure once what would help the first of these cameras whose images are too old when they come out.

    Called by the thread that runs the network, after a round of these cameras' images.

    Args:
        estimate_s: how long the network took for that round, together or one after another.
    """
    # No image of the others goes through the network, and a round without it tells nothing of its time.
    estimated = [camera for camera in cameras if camera.is_wanted or parameters.always_run] if estimate_s else []
    for camera in estimated:
        late, case = _find_slow_case(camera.progress, parameters)
        if late is None or case is None or late.other_s > late.estimate_s:
            continue
        if trial.rates_hz(case) is None:
            if trial.sizes_hw(case):
                log.info(f"{camera.image_topic}: images come out too old, trying smaller sizes once")
            trial.measure(case, other_s=late.other_s, images=len(estimated), estimate_s=estimate_s)
            return


def explain_lateness(progress: CameraProgress, parameters: DepthParameters, *, trial: SpeedTrial | None) -> str:
    """Return how late a camera's images are, and the remedy; "" if they are not. `trial` is None before the model."""
    late, case = _find_slow_case(progress, parameters)
    if late is None:
        return explain_delay(progress.busy_s, parameters) if progress.is_busy else ""
    if case is None:
        return ""
    rates_hz = trial.rates_hz(case) if trial else None
    return explain_slowness(late, case, rates_hz=rates_hz, max_age_s=parameters.max_age_s)


def _find_slow_case(progress: CameraProgress, parameters: DepthParameters) -> tuple[Lateness | None, SlowCase | None]:
    """Return how late images are and what to try; None if they are not too late, or if no image was estimated."""
    late = progress.late.summarise(max_age_s=parameters.max_age_s)
    if late is None or not late.is_too_slow:
        return None, None
    if progress.image_hw is None or progress.inference_size_hw is None:
        return late, None
    return late, SlowCase(
        image_hw=turned_size(progress.image_hw, parameters.rotate),
        inference_size=parameters.inference_size,
        inference_hw=progress.inference_size_hw,
        target_rate_hz=parameters.target_rate_hz,
    )


def explain_delay(busy_s: float, parameters: DepthParameters) -> str:
    """Return how long an image has been worked on that is not done yet; "" if not for long."""
    if busy_s <= _CONSPICUOUS * parameters.max_age_s:
        return ""
    sizes = [] if parameters.inference_size == AUTO_SIZE else [AUTO_SIZE]
    sizes += [] if parameters.inference_size == TRAINED else [TRAINED]
    return (
        f"an image has been worked on for {busy_s:.0f} s and is not done: if it is large, inference_size "
        f"{' or '.join(sizes)} is faster"
    )


def explain_slowness(late: Lateness, case: SlowCase, *, rates_hz: Mapping[str, float] | None, max_age_s: float) -> str:
    """Return how many images are too old, and what would help.

    Args:
        rates_hz: what other values of inference_size would give, if faster; None if nothing has been measured yet.
    """
    problem = (
        f"{late.late} of {late.images} images are older than {max_age_s:g} s when their outputs come out (median "
        f"{late.median_s:.2g} s)"
    )
    height, width = case.inference_hw
    if late.other_s > late.estimate_s:
        return (
            f"{problem}; decoding and outputs take {late.other_s:.2g} s of it: subscribe to fewer outputs, or raise "
            "points.stride"
        )
    if rates_hz is None:
        return f"{problem}; the network takes {late.estimate_s:.2g} s of it at {width}x{height}"
    if rates_hz:
        rates = ", ".join(f"{name} about {rate_hz:.2g} Hz" for name, rate_hz in rates_hz.items())
        return f"{problem}; inference_size {rates.replace(' about', ' would give about', 1)}"
    smallest = " already, the size that auto has come down to" if case.inference_size == AUTO_SIZE else ""
    return (
        f"{problem}; the network takes {late.estimate_s:.2g} s of it at {width}x{height}{smallest}: take a smaller "
        "model, or another provider (docs/speed.md)"
    )
