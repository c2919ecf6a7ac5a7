"""Judges from observations of one camera whether it runs, what it waits for and what is wrong. No ROS here."""

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

WINDOW_S = 5.0
"""Rates and judgements are about this much of the past."""

LOADING = "loading the model"
DISABLED = "disabled"
IDLE = "idle: no subscribers"
WAITING_FOR_IMAGES = "waiting for images"
WAITING_FOR_CAMERA_INFO = "waiting for camera_info"
FAILING = "failing"
RUNNING = "running"
TOO_SLOW = "too slow"
"""Follows "running, but"."""


class Level(IntEnum):
    """The levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Judgement:
    """A level, and the state with its reason in one line."""

    level: Level
    text: str


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What is known of one camera at one moment; counts are since the start."""

    at_s: float
    received: int = 0
    published: int = 0
    bad: int = 0
    last_reason: str = ""
    """Why the last bad frame was dropped."""
    ready: bool = True
    """The model is loaded."""
    enabled: bool = True
    wanted: bool = True
    """An output has a subscriber, or it runs always."""
    busy: bool = False
    """A frame is being worked on."""
    silence: str = ""
    """Why no images come; "" while they do."""
    missing_camera_info: str = ""
    """Why the newest image has no camera_info yet; "" if it has."""
    loss: str = ""
    """Which images never arrived, and the remedy; "" if all did."""
    doubt: str = ""
    """What is doubtful about the calibration, and the remedy; "" if nothing is."""
    slowness: str = ""
    """How many images are too old when their outputs come out, and the remedy; "" if few of them are."""
    unscaled: str = ""
    """Why the scale is not measured though it should be; "" if it is."""
    missing_depth: str = ""
    """What part of an output is invalid, and why; "" if that is the smaller part."""
    other_clock: str = ""
    """Why the images' age is not known, and the remedy; "" if it is."""


class CameraHealth:
    """Keeps the observations of the last seconds and judges them."""

    def __init__(self) -> None:
        self._seen: deque[Observation] = deque()

    def add(self, observation: Observation) -> Judgement:
        """Take the newest observation; return what it means together with those before."""
        self._seen.append(observation)
        while len(self._seen) > 2 and observation.at_s - self._seen[1].at_s >= WINDOW_S:
            self._seen.popleft()
        return self._judge(observation)

    def rate_hz(self, count: str) -> float:
        """Return how often a second the count of that name ("received", "published") went up lately."""
        if len(self._seen) < 2:
            return 0.0
        return self._increase(count) / (self._seen[-1].at_s - self._seen[0].at_s)

    def _increase(self, count: str) -> int:
        return int(getattr(self._seen[-1], count) - getattr(self._seen[0], count))

    def _judge(self, now: Observation) -> Judgement:
        if not now.ready:
            return Judgement(Level.OK, LOADING)
        if not now.enabled:
            return Judgement(Level.OK, DISABLED)
        if not now.wanted:
            return Judgement(Level.OK, IDLE)
        received, published, bad = (self._increase(count) for count in ("received", "published", "bad"))
        if bad and not published:
            return Judgement(Level.ERROR, f"{FAILING}: {now.last_reason}")
        if now.missing_camera_info and not published and not now.busy:
            return Judgement(Level.WARN, f"{WAITING_FOR_CAMERA_INFO}: {now.missing_camera_info}")
        if not received and not published and not now.busy:
            return Judgement(Level.WARN, f"{WAITING_FOR_IMAGES}: {now.loss or now.silence or 'none has come yet'}")
        problems = [f"{bad} of {max(received, bad)} frames were bad: {now.last_reason}"] if bad else []
        problems += [
            f"{words}: {reason}" if words else reason
            for words, reason in (
                ("images are lost", now.loss),
                (TOO_SLOW, now.slowness),
                ("the calibration is doubtful", now.doubt),
                ("the scale is not measured", now.unscaled),
                ("", now.missing_depth),
                ("", now.other_clock),
            )
            if reason
        ]
        if problems:
            return Judgement(Level.WARN, f"{RUNNING}, but {'; and '.join(problems)}")
        return Judgement(Level.OK, RUNNING)
