"""ScaleTracker: one steady factor from the measurements of many frames, with the reason whenever it does not follow."""

import math
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.files.atomic import write_text
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.files.yaml_text import read_mapping
from metric3d_ros.scale.measurements import CAMERA_HEIGHT, FIXED, Measured, ScaleRefusal

# The first measurements are taken by their median, whatever their steps: none of them is known to be right.
_FIRST = 5


@dataclass(frozen=True, kw_only=True)
class ScaleOptions:
    """How a tracker follows. Raises ConfigurationError for values that cannot be used."""

    time_constant_s: float = 0.3
    """After a step of the measured factor 63 % of it have been followed after this time; 0 follows at once."""
    min_factor: float = 0.5
    max_factor: float = 2.0
    """Measurements outside of these are refused."""
    max_step: float = 0.08
    """A measurement farther than this (log ratio) from the tracked factor is an outlier until it persists."""
    persist_s: float = 2.0
    """Measurements that differ from the factor, but agree with each other for this long, are believed."""
    persist_of_height_s: float = 10.0
    """The same for the camera's height: a table may fill the view for some seconds, and is no ground."""
    expire_s: float = 60.0
    """After this time without a measurement the factor is stale; it is kept."""

    def __post_init__(self) -> None:
        if not 0 < self.min_factor <= 1 <= self.max_factor < math.inf:
            raise ConfigurationError(
                f"scale: factors are {self.min_factor:g} to {self.max_factor:g}, expected 0 < least <= 1 <= greatest"
            )
        if not (self.time_constant_s >= 0 and self.max_step > 0 and self.persist_s >= 0 and self.expire_s > 0):
            raise ConfigurationError(
                f"scale: time_constant_s is {self.time_constant_s:g}, max_step {self.max_step:g}, persist_s "
                f"{self.persist_s:g}, expire_s {self.expire_s:g}; expected at least 0, and above 0 for max_step and "
                "expire_s"
            )


@dataclass(frozen=True)
class ScaleState:
    """What depth is multiplied by, and where that comes from."""

    factor: float = 1.0
    source: str = "none"
    spread: float = math.inf
    """Relative error of the last measurement that was followed."""
    age_s: float = math.inf
    """Time since that measurement."""
    frozen: bool = False
    stale: bool = True
    """There is no measurement yet, or the last one is older than `expire_s`."""
    refused: str = ""
    """Why the newest measurement was not followed; empty if it was."""
    focal_ratio: float = 1.0
    """The calibration's focal length divided by the one that fits the ranges best; 1 if it fits."""


class ScaleTracker:
    """Follows the factor: clamped, smoothed, held through outliers and refusals, frozen on request."""

    def __init__(self, options: ScaleOptions = ScaleOptions(), *, start: ScaleState | None = None) -> None:
        """`start` is what to begin with, as `load_scale` returns it."""
        self.options = options
        self.state = start or ScaleState()
        self._followed_at: float | None = None
        self._updated_at: float | None = None
        self._rival: tuple[float, float, int] | None = None
        """Log factor of measurements that differ, since when, and how many."""
        self._first: list[float] | None = [] if self.state.source == "none" else None
        """Log factors until there are enough of them to know an outlier."""
        self.frozen = False

    def update(self, measured: Measured, stamp_s: float) -> ScaleState:
        """Take one frame's measurement, or its refusal, at the frame's time in seconds; return what to use for it.

        The first measurement is taken at once, then the median of the first five. Time that runs backwards, as when a
        recording restarts, keeps the factor and its age, which grows from there.
        """
        if not math.isfinite(stamp_s):
            self.state = replace(self.state, refused=f"the time of the image is {stamp_s}, expected seconds")
            return self.state
        if self._updated_at is None or stamp_s < self._updated_at:
            age_s = self.state.age_s
            self._followed_at = stamp_s - age_s if math.isfinite(age_s) else None
            self._rival = None
        elapsed_s = max(stamp_s - self._followed_at, 0.0) if self._followed_at is not None else math.inf
        self._updated_at = stamp_s
        refused = self._why_not(measured, stamp_s)
        if refused or isinstance(measured, ScaleRefusal):
            self.state = self._aged(stamp_s, refused)
            return self.state
        target = math.log(measured.factor)
        current = math.log(self.state.factor)
        if self._first is not None:
            self._first.append(target)
            current = statistics.median(self._first)
            if len(self._first) == _FIRST:
                self._first = None
        elif measured.source != FIXED:
            constant = self.options.time_constant_s
            follow = 1 - math.exp(-min(elapsed_s, 1.0) / constant) if constant > 0 else 1.0
            current += follow * (target - current)
        else:
            current = target
        self._followed_at, self._rival = stamp_s, None
        self.state = ScaleState(
            factor=math.exp(current),
            source=measured.source,
            spread=measured.spread,
            age_s=0.0,
            frozen=self.frozen,
            stale=False,
        )
        return self.state

    def _why_not(self, measured: Measured, stamp_s: float) -> str:
        """Return why a measurement is not followed; empty if it is."""
        if self.frozen:
            return "frozen on request"
        if isinstance(measured, ScaleRefusal):
            return f"{measured.source}: {measured.reason}"
        if measured.source == FIXED:
            return ""
        if not (math.isfinite(measured.factor) and self.options.min_factor <= measured.factor):
            return f"the measured factor is {measured.factor:.3g}, expected at least {self.options.min_factor:g}"
        if measured.factor > self.options.max_factor:
            return f"the measured factor is {measured.factor:.3g}, expected at most {self.options.max_factor:g}"
        log_factor = math.log(measured.factor)
        step = abs(log_factor - math.log(self.state.factor))
        if self._first is not None or step <= self._allowed_step(measured.spread):
            return ""
        persist_s = self.options.persist_of_height_s if measured.source == CAMERA_HEIGHT else self.options.persist_s
        return self._wait_for_rival(log_factor, stamp_s, persist_s)

    def _allowed_step(self, spread: float) -> float:
        return max(self.options.max_step, 2 * min(spread, 0.1))

    def _wait_for_rival(self, log_factor: float, stamp_s: float, persist_s: float) -> str:
        """Return why a measurement that differs must wait, or nothing once enough of them agree for long enough."""
        rival = self._rival
        if rival is None or abs(log_factor - rival[0]) > self.options.max_step:
            rival = (log_factor, stamp_s, 0)
        level, since, count = rival
        count += 1
        self._rival = (level + (log_factor - level) / count, since, count)
        waited_s = stamp_s - since
        if waited_s >= persist_s and count >= 3:
            return ""
        return (
            f"the measured factor {math.exp(log_factor):.3g} is far from {self.state.factor:.3g}: an outlier unless it "
            f"persists for {persist_s:g} s"
        )

    def _aged(self, stamp_s: float, refused: str) -> ScaleState:
        age_s = stamp_s - self._followed_at if self._followed_at is not None else math.inf
        return replace(
            self.state, age_s=age_s, frozen=self.frozen, stale=not age_s <= self.options.expire_s, refused=refused
        )


def save_scale(path: Path, state: ScaleState) -> None:
    """Write what a tracker has found, to go on with after a restart. Raises DataError if that fails."""
    content = {"scale": {"factor": state.factor, "source": state.source, "spread": state.spread}}
    try:
        write_text(path, yaml.safe_dump(content, sort_keys=False), durable=True)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); name a file in a folder that can be") from error


def load_scale(path: Path, *, options: ScaleOptions = ScaleOptions()) -> ScaleState:
    """Return what `save_scale` wrote, as a stale state; 1 if there is no such file yet.

    Raises DataError for a file of another kind, and for a measured factor outside what `options` allow.
    """
    remedy = "delete it, or name another file"
    try:
        path.stat()
    except FileNotFoundError:
        return ScaleState()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    try:
        content = read_mapping(path, what="a saved scale")
    except DataError as error:
        raise DataError(f"{error}; {remedy}") from error
    try:
        saved = content["scale"]
        factor, source, spread = float(saved["factor"]), str(saved["source"]), float(saved["spread"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} does not hold a saved scale: {remedy}") from error
    if source == FIXED:
        is_allowed, expected = 0 < factor < math.inf, "above 0"
    else:
        is_allowed = options.min_factor <= factor <= options.max_factor
        expected = f"{options.min_factor:g} to {options.max_factor:g}"
    if not is_allowed:
        raise DataError(f"{path} holds the scale factor {factor:g}, expected {expected}: delete it to begin at 1")
    return ScaleState(factor=factor, source=shorten(source, 40), spread=spread)
