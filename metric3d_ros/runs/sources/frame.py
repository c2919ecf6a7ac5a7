"""A frame of a recording, and the chunks that a recording is cut into."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.messages.stamps import stamp_ns

_LEAST_BYTES = 16
"""Of a frame in a video or a bag, however well it is compressed."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """An image of a recording with its camera.

    Attributes:
        name: unique in its recording and stream; the stem of its files.
        stream: which of several cameras, as a path; "" if there is only one.
        rgb: (H, W, 3) uint8.
        camera: the image's camera.
        focal_from: where the focal length comes from, in words.
        header: stamp and frame_id, with the fields of std_msgs/Header.
        received_ns: when it was recorded, nanoseconds.
        camera_info: the CameraInfo message of a bag; None elsewhere.
        rotate_deg: how the network has to turn it, clockwise, to see it upright.
    """

    name: str
    stream: str = ""
    rgb: npt.NDArray[np.uint8]
    camera: Camera
    focal_from: str
    header: Any
    received_ns: int
    camera_info: Any = None
    rotate_deg: int = 0

    @property
    def stamp_ns(self) -> int:
        """The image's stamp, nanoseconds."""
        return stamp_ns(self)

    @property
    def key(self) -> str:
        """Its name in the manifest, unique in its recording."""
        return f"{self.stream}/{self.name}" if self.stream else self.name


CORRUPT, NO_CAMERA, NOT_ESTIMATED = "corrupt", "no camera", "not estimated"
BY_EVERY, BY_FPS = "--every", "--fps"


@dataclasses.dataclass(frozen=True)
class Failed:
    """A frame that cannot be used, and why.

    Attributes:
        key: as `Frame.key`.
        reason: one line, with the remedy.
        kind: CORRUPT (it cannot be decoded), NO_CAMERA (its focal length is unknown) or NOT_ESTIMATED.
    """

    key: str
    reason: str
    kind: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chunk:
    """A part of a recording, done or not done as a whole.

    Attributes:
        recording: its name.
        number: its place in the recording, from 0.
        start, stop: what it spans: images by number, video and bags by nanoseconds; `stop` is not in it.
        keys: of its frames, if they are known without reading it, as those of pictures are.
        is_retry: all of it was handled before, and only the frames that failed are tried again.
    """

    recording: str
    number: int
    start: int
    stop: int
    keys: tuple[str, ...] | None = None
    is_retry: bool = False

    @property
    def key(self) -> str:
        """Its name in the manifest."""
        return f"{self.recording}:{self.number}"


class Recording(Protocol):
    """Something with frames in it; opened anew for each chunk, so that chunks can be read on other machines.

    Attributes:
        name: unique in a run; the folder of its outputs.
        source: what a user named.
    """

    name: str
    source: str

    def chunks(self, frames: int) -> list[Chunk]:
        """Cut it into chunks of about so many frames."""
        ...

    def count(self) -> int:
        """Return how many frames there are, about."""
        ...

    def read(
        self, chunk: Chunk, *, done: frozenset[str] = frozenset(), left_out: Counter[str] | None = None
    ) -> Iterator[Frame | Failed]:
        """Yield the frames of a chunk that are not `done`, by their keys.

        `left_out` counts those that an option leaves out, by the option: BY_EVERY, BY_FPS.
        """
        ...

    def ended_early(self, chunk: Chunk) -> bool:
        """Return whether a chunk that was read may have more frames if its file is copied again: it was cut off."""
        ...

    def total(self) -> int:
        """Return how many frames it has, as its index states; 0 if that is unknown, or if none lies outside the span.

        The span is what is to be read of it.
        """
        ...

    def remarks(self) -> list[str]:
        """Return what is wrong with it although it can be read, a line each."""
        ...


def first_item(recording: Recording, *, frames: int) -> tuple[Chunk, Frame | Failed] | None:
    """Return what a recording has first, and its chunk of about `frames`; None if there is nothing.

    The first chunks may be empty: a bag can begin long before its first image.
    """
    return next(((chunk, item) for chunk in recording.chunks(frames) for item in recording.read(chunk)), None)


def plausible_count(frames: int, path: Path) -> int:
    """Return how many frames a file's header states, or how many its bytes can hold at most if those are fewer.

    A header can state anything, and a plan of a run is made of it. `path` is a file, or the folder of a bag.
    """
    files = [path] if path.is_file() else path.rglob("*")
    most = sum(file.stat().st_size for file in files if file.is_file()) // _LEAST_BYTES
    return min(frames, most)
