"""How steady estimated depth is from frame to frame, on a sequence whose true depth is known."""

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.comparison.labelled_images import Sample

FloatImage = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_SAME_SURFACE = 0.02
"""Two pixels show the same point if its true depth, moved with the camera, agrees to this part."""

FLICKER, SCALE_STEP, ABS_REL = "flicker", "scale_step", "abs_rel"


class SteadinessMeter:
    """Takes the frames of one sequence in order."""

    def __init__(self) -> None:
        self._flicker: list[float] = []
        self._scale_steps: list[float] = []
        self._abs_rel: list[float] = []
        self._before: tuple[Sample, FloatImage] | None = None
        self._scale_before = float("nan")

    def add(self, sample: Sample, estimated_m: FloatImage) -> None:
        """Take the next frame; `estimated_m` (H, W) is metres along the optical axis, NaN or infinite where invalid.

        A frame of another size than the one before begins anew. Points that are truly farther than the sample's limit
        do not count.
        """
        error = _log_error(sample, estimated_m)
        scale = float("nan")
        if np.isfinite(error).any():
            scale = float(np.nanmedian(error))
            self._abs_rel.append(float(np.nanmean(np.abs(np.expm1(error)))))
        if self._before is not None and self._before[1].shape == error.shape:
            step = abs(scale - self._scale_before)
            if np.isfinite(step):
                self._scale_steps.append(step)
            flicker = _flicker(*self._before, sample, error)
            if np.isfinite(flicker):
                self._flicker.append(flicker)
        self._before, self._scale_before = (sample, error), scale

    def figures(self) -> dict[str, float]:
        """Return the figures of the sequence, NaN if there were too few frames.

        `FLICKER`: median over the frames of the median |log ratio| of the errors of a static point in one frame and in
        the frame before. `SCALE_STEP`: median |change| of the median log error. `ABS_REL`: mean over the frames.
        """
        return {
            FLICKER: float(np.median(self._flicker)) if self._flicker else float("nan"),
            SCALE_STEP: float(np.median(self._scale_steps)) if self._scale_steps else float("nan"),
            ABS_REL: float(np.mean(self._abs_rel)) if self._abs_rel else float("nan"),
        }


def flicker_between(before: Sample, before_m: FloatImage, now: Sample, now_m: FloatImage) -> float:
    """Return the median |log ratio| of the errors of static points in two frames; NaN if they share no point.

    `before_m` and `now_m` (H, W) are the estimated depths.
    """
    return _flicker(before, _log_error(before, before_m), now, _log_error(now, now_m))


def _log_error(sample: Sample, estimated_m: FloatImage) -> FloatImage:
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.log(estimated_m) - np.log(sample.true_depth_m)
        error[~np.isfinite(error) | (sample.true_depth_m > sample.max_depth_m)] = np.nan
    return np.asarray(error, np.float32)


def _flicker(before: Sample, error_before: FloatImage, now: Sample, error: FloatImage) -> float:
    at = find_same_points(before, now)
    with np.errstate(invalid="ignore"):
        steps = np.abs(error - np.where(at[0] >= 0, error_before[at], np.float32(np.nan)))
    return float(np.nanmedian(steps)) if np.isfinite(steps).any() else float("nan")


def find_same_points(before: Sample, now: Sample) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return row and column (H, W) at which each pixel's point was in the frame before; -1 if it was not seen there.

    The poses tell how the camera moved; without them it stands still. What moves by itself was not there.
    """
    height, width = now.true_depth_m.shape
    rows: Matrix
    columns: Matrix
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    expected_m = now.true_depth_m.astype(np.float64)
    if now.world_from_camera is not None and before.world_from_camera is not None:
        motion = np.linalg.inv(before.world_from_camera) @ now.world_from_camera
        points = now.camera.rays().astype(np.float64) * expected_m[..., None]
        points = points @ motion[:3, :3].T + motion[:3, 3]
        pixels = before.camera.project(points)
        columns, rows, expected_m = pixels[..., 0], pixels[..., 1], _depth_of(points, before.camera)
    height, width = before.true_depth_m.shape
    with np.errstate(invalid="ignore"):
        rows, columns = np.rint(rows), np.rint(columns)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        row = np.where(inside, rows, 0).astype(np.intp)
        column = np.where(inside, columns, 0).astype(np.intp)
        same = inside & (np.abs(before.true_depth_m[row, column] / expected_m - 1) <= _SAME_SURFACE)
    return np.where(same, row, -1), np.where(same, column, -1)


def _depth_of(points: Matrix, camera: Camera) -> Matrix:
    return np.asarray(np.linalg.norm(points, axis=2) if camera.along_rays else points[..., 2], np.float64)
