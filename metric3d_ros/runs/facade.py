"""Depth in three lines of Python: a model, frames, and an estimate of each."""

from collections.abc import Iterator
from pathlib import Path

from metric3d_ros.engine import AUTO, DEMO_MODEL
from metric3d_ros.errors import DataError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.estimation.inference_size import NATIVE
from metric3d_ros.recordings.bags.reader import release_bag
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.frame import Failed, Frame
from metric3d_ros.runs.sources.inputs import Selection, open_recordings

_CHUNK_FRAMES = 1 << 30


def load(
    model: str | Path = DEMO_MODEL, *, provider: str = AUTO, threads: int = 0, inference_size: str = NATIVE
) -> Estimator:
    """Load a model and return what estimates with it.

    Example:
        >>> estimate = metric3d_ros.load("vit_small").estimate(rgb, camera)
        >>> estimate.depth_m  # float32 (H, W), metres

    Args:
        model: an ONNX file, the name of a published model such as "vit_small", which is downloaded and assembled when
            it is first used, or "demo" for the small model that comes with the package, which is for
            trying.
        provider: the execution provider, as docs/speed.md lists them.
        threads: CPU threads; 0 takes every core.
        inference_size: as the node's parameter of that name takes it.

    Raises:
        ModelError, ProviderError, ConfigurationError: with the remedy.
        DownloadError, CheckpointError, ExportError: see `estimation.depth_model.open_model`.
    """
    return Estimator(open_model(model, provider=provider, threads=threads), inference_size=inference_size)


def frames(
    path: str | Path,
    *,
    focal_px: float = 0.0,
    hfov_deg: float = 0.0,
    calibration: str = "",
    topics: tuple[str, ...] = (),
    start_s: float = 0.0,
    end_s: float = 0.0,
    fps: float = 0.0,
    every: int = 1,
    strict: bool = False,
) -> Iterator[Frame]:
    """Yield the frames of an image, a folder, a pattern, a video or a bag, each with its camera.

    Example:
        >>> for frame in metric3d_ros.frames("drive.mcap", start_s=10, end_s=20, fps=2):
        ...     depth_m = model.estimate(frame.rgb, frame.camera).depth_m

    Args:
        path: the recording; or a URL, such as "s3://lab/drive.mcap".
        focal_px, hfov_deg, calibration: the camera, if the recording does not tell it (one of them).
        topics: image topics of a bag; none for all.
        start_s, end_s: seconds from the start of a video or bag; 0 for its end.
        fps: at most so many frames a second of a video, or of each camera of a bag; 0 for all.
        every: only every n-th frame; `fps` overrules it.
        strict: raise DataError for a frame that cannot be read; otherwise it is left out.
    """
    cameras = CameraChoice(focal_px=focal_px, hfov_deg=hfov_deg, calibration=str(calibration))
    selection = Selection(cameras=cameras, topics=topics, start_s=start_s, end_s=end_s, fps=fps, every=every)
    recordings, _ = open_recordings([path], selection)
    try:
        for recording in recordings:
            for chunk in recording.chunks(_CHUNK_FRAMES):
                for frame in recording.read(chunk):
                    if isinstance(frame, Frame):
                        yield frame
                    elif strict and isinstance(frame, Failed):
                        raise DataError(f"{recording.source}: {frame.key}: {frame.reason}")
    finally:
        release_bag()
