"""DepthCorrector: corrects one camera's estimates, with what it keeps from frame to frame."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from metric3d_ros.corrections.options import CorrectionOptions, ScaleSource
from metric3d_ros.errors import DataError
from metric3d_ros.estimation.estimator import Estimate
from metric3d_ros.geometry import (
    FarOptions,
    GroundOptions,
    GroundPlane,
    NoGround,
    find_far,
    find_flying_pixels,
    find_ground,
    turn_back,
    turn_upright,
)
from metric3d_ros.scale import (
    FocalSearch,
    Measured,
    MotionEstimator,
    ScaleRefusal,
    ScaleStabiliser,
    ScaleState,
    ScaleTracker,
    TemporalFilter,
    fixed_scale,
    load_scale,
    save_scale,
    scale_from_camera_height,
    scale_from_known_distance,
    scale_from_ranges,
)
from metric3d_ros.scale.measurements import KNOWN_DISTANCE

Float32Array = npt.NDArray[np.float32]

_SAVE_EVERY_S = 5.0


@dataclasses.dataclass(frozen=True)
class Corrected:
    """An estimate after its corrections, and what was found on the way."""

    estimate: Estimate
    """Removed depth is NaN, sky is +Inf."""
    scale: ScaleState | None = None
    """None if the scale is not corrected."""
    ground: GroundPlane | NoGround | None = None
    """The ground at the corrected scale, if it was looked for."""
    is_corrected: bool = True
    """False if all corrections are off, and no factor is kept."""


class DepthCorrector:
    """Corrects the estimates of one camera, in the order in which its images were taken."""

    def __init__(self, *, warn: Callable[[str], None] = lambda text: None) -> None:
        """`warn` takes one line about a file that cannot be used."""
        self._warn = warn
        self._motion = MotionEstimator()
        self._stabiliser = ScaleStabiliser()
        self._average = TemporalFilter()
        self._tracker: ScaleTracker | None = None
        self._source = ScaleSource()
        self._keeps_factor = False
        """Whether a known distance gave the factor: it is kept when no source is set any more."""
        self._saved_s = float("-inf")
        self._focal = FocalSearch()
        self._warned_of_focal = False

    def apply(
        self,
        estimate: Estimate,
        rgb: npt.NDArray[np.uint8],
        stamp_s: float,
        *,
        options: CorrectionOptions,
        ranges: npt.NDArray[np.float32] | ScaleRefusal | None = None,
    ) -> Corrected:
        """Return the corrected estimate of `rgb` (H, W, 3), an image that was taken at `stamp_s`.

        If options change between frames, call it also while all of them are off: a factor that a known distance gave is
        kept, and what compares frames forgets the last one.

        `ranges` (N, 3) are points of another sensor in the optical frame, metres, or why there are none.
        """
        depth_m = estimate.depth_m
        far = flying = None
        if options.far is not None:
            far = _find_far(depth_m, estimate.confidence, options.far, options.rotate_deg)
            if not far.any():
                far = None
        known_m = depth_m if far is None else np.where(far, np.float32(np.inf), depth_m)
        if options.flying is not None:
            flying = find_flying_pixels(known_m, estimate.camera, normals=estimate.normals, options=options.flying)
        factor, motion = 1.0, None
        if options.steady_scale or options.average:
            motion = self._motion.update(known_m, rgb, estimate.camera)
        else:
            self._motion.reset()
        if motion is not None and options.steady_scale:
            factor = self._stabiliser.update(motion)
        state = ground = None
        is_scaled = options.scale.is_on or self._keeps_factor
        if is_scaled:
            if options.scale.camera_height_m:
                ground = _find_ground(estimate, known_m, options)
            steady_ground = ground.scaled(factor) if isinstance(ground, GroundPlane) else ground
            state = self._follow_scale(estimate, known_m, factor, stamp_s, options, ranges, steady_ground)
            factor *= state.factor
            if isinstance(ground, GroundPlane):
                ground = ground.scaled(factor)
        if factor != 1:
            known_m = known_m * np.float32(factor)
        if motion is not None and options.average:
            known_m = self._average.update(known_m, motion, factor=factor)
        if flying is not None and flying.any():
            known_m = np.where(flying, np.float32(np.nan), known_m)
        if known_m is depth_m:
            return Corrected(estimate, state, ground, is_corrected=options.is_on or is_scaled)
        return Corrected(dataclasses.replace(estimate, depth_m=known_m), state, ground)

    def _follow_scale(
        self,
        estimate: Estimate,
        depth_m: Float32Array,
        steady: float,
        stamp_s: float,
        options: CorrectionOptions,
        ranges: npt.NDArray[np.float32] | ScaleRefusal | None,
        ground: GroundPlane | NoGround | None,
    ) -> ScaleState:
        source = options.scale
        tracker = self._tracker_for(source)
        if steady != 1:
            depth_m = depth_m * np.float32(steady)
        focal_ratio = 1.0
        if source.ranges and isinstance(ranges, np.ndarray):
            focal_ratio = self._focal.update(depth_m, estimate.camera, ranges)
        state = tracker.update(_measure(estimate, depth_m, options, ranges, ground, focal_ratio), stamp_s)
        if focal_ratio != 1:
            state = dataclasses.replace(state, focal_ratio=focal_ratio)
        if self._focal.is_sure:
            self._warn_of_focal(estimate.camera.focal_px, focal_ratio)
        if not state.refused:
            self._keeps_factor = state.source == KNOWN_DISTANCE
        if source.file is not None and not state.refused and abs(stamp_s - self._saved_s) >= _SAVE_EVERY_S:
            self._saved_s = stamp_s
            try:
                save_scale(source.file, state)
            except DataError as error:
                self._warn(str(error))
        return state

    def _warn_of_focal(self, focal_px: float, ratio: float) -> None:
        if not self._warned_of_focal:
            self._warned_of_focal = True
            self._warn(
                f"the ranges fit a focal length of {focal_px / ratio:.0f} px, the calibration has {focal_px:.0f} px: "
                "depth is corrected, but points are too far from the axis or too near to it; calibrate the camera"
            )

    def _tracker_for(self, source: ScaleSource) -> ScaleTracker:
        tracker = self._tracker
        if tracker is None:
            tracker = ScaleTracker(source.tracker, start=self._load(source))
        elif any(_kind(source)) and _kind(source) != _kind(self._source):
            # Another source may differ from the last one at once: its first measurements count.
            start = dataclasses.replace(tracker.state, source="none", age_s=math.inf, stale=True)
            tracker = ScaleTracker(source.tracker, start=start)
        tracker.options, tracker.frozen = source.tracker, source.frozen
        self._tracker, self._source = tracker, source
        return tracker

    def _load(self, source: ScaleSource) -> ScaleState | None:
        if source.file is None:
            return None
        try:
            return load_scale(source.file, options=source.tracker)
        except DataError as error:
            self._warn(str(error))
            return None


def _find_far(
    depth_m: Float32Array, confidence: Float32Array | None, options: FarOptions, rotate_deg: int
) -> npt.NDArray[np.bool_]:
    upright = None if confidence is None else turn_upright(confidence, rotate_deg)
    mask = find_far(turn_upright(depth_m, rotate_deg), confidence=upright, options=options)
    return turn_back(mask.view(np.uint8), rotate_deg).view(np.bool_)


def _find_ground(estimate: Estimate, depth_m: Float32Array, options: CorrectionOptions) -> GroundPlane | NoGround:
    what = options.ground or GroundOptions(up=options.up)
    return find_ground(depth_m, estimate.camera, normals=estimate.normals, options=what)


def _kind(source: ScaleSource) -> tuple[object, ...]:
    """Return what tells one source from another; nothing of it is true if none is set."""
    return source.factor, source.camera_height_m, source.known, source.ranges


def _measure(
    estimate: Estimate,
    depth_m: Float32Array,
    options: CorrectionOptions,
    ranges: npt.NDArray[np.float32] | ScaleRefusal | None,
    ground: GroundPlane | NoGround | None,
    focal_ratio: float,
) -> Measured:
    source, camera = options.scale, estimate.camera
    if source.factor:
        return fixed_scale(source.factor)
    if source.known is not None:
        if options.far is None:  # otherwise the sky is infinite already
            far = _find_far(depth_m, estimate.confidence, FarOptions(), options.rotate_deg)
            depth_m = np.where(far, np.float32(np.inf), depth_m)
        return scale_from_known_distance(depth_m, camera, distance_m=source.known.distance_m, box=source.known.box)
    if ground is not None:
        return scale_from_camera_height(ground, height_m=source.camera_height_m)
    if not source.ranges:
        return ScaleRefusal("none", "no source is set; the remembered factor is used")
    if isinstance(ranges, ScaleRefusal):
        return ranges
    if ranges is None:
        return ScaleRefusal("ranges", "none have come yet")
    return scale_from_ranges(depth_m, camera, ranges, min_count=source.least_ranges, focal_ratio=focal_ratio)
