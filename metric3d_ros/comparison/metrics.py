"""Error measures for depth and normals, as the papers that introduced them define them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import DataError

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

DELTA1_RATIO = 1.25
NORMAL_THRESHOLD_DEG = 11.25
EDGE_RATIOS = (1.08, 1.16)
"""Depth ratios between neighbouring pixels where an edge continues, and where one begins."""
EDGE_REACH_PX = 10.0
"""Edges farther apart than this are not of the same thing."""
EDGE_MIN_KNOWN = 0.9
"""Share of the pixels whose true depth must be known; sparse measurements show no edges."""


@dataclass(frozen=True)
class DepthErrors:
    """Errors of one image's depth, over the pixels where both depths are known (d estimated, t true).

    abs_rel, delta1, rmse_m: Eigen et al., "Depth Map Prediction from a Single Image using a Multi-Scale Deep
    Network", NeurIPS 2014, section 4.2. delta1 is their accuracy under the threshold 1.25, after Ladicky et al., CVPR
    2014. silog: the KITTI depth benchmark's scale-invariant logarithmic error (Uhrig et al., 3DV 2017).
    """

    abs_rel: float
    """mean(|d - t| / t); 0 is perfect."""
    delta1: float
    """Share of pixels with max(d / t, t / d) < 1.25; 1 is perfect."""
    rmse_m: float
    """sqrt(mean((d - t)^2)), metres."""
    silog: float
    """100 * sqrt(mean(e^2) - mean(e)^2) with e = ln d - ln t; a wrong scale costs nothing."""


@dataclass(frozen=True)
class NormalErrors:
    """Angles between estimated and true normals of one image, over the pixels where both are known.

    The three figures that Fouhey, Gupta and Hebert, "Data-Driven 3D Primitives for Single Image Understanding",
    ICCV 2013, introduced for surface normals.
    """

    mean_deg: float
    median_deg: float
    within_11_25: float
    """Share of pixels that are off by less than 11.25 degrees; 1 is perfect."""


def measure_depth(estimated_m: FloatImage, true_m: FloatImage, *, max_depth_m: float = np.inf) -> DepthErrors:
    """Measure (H, W) estimated depth against true depth, both in metres; NaN and values <= 0 are not compared.

    Pixels whose true depth exceeds `max_depth_m` are left out. Raises DataError when the sizes differ or no pixel is
    left to compare.
    """
    compared = _compared(estimated_m, true_m, max_depth_m)
    d = estimated_m[compared].astype(np.float64)
    t = true_m[compared].astype(np.float64)
    log_error = np.log(d) - np.log(t)
    return DepthErrors(
        abs_rel=float(np.mean(np.abs(d - t) / t)),
        delta1=float(np.mean(np.maximum(d / t, t / d) < DELTA1_RATIO)),
        rmse_m=float(np.sqrt(np.mean((d - t) ** 2))),
        silog=float(100 * np.std(log_error)),  # the benchmark's expression is the standard deviation
    )


def median_scale(estimated_m: FloatImage, true_m: FloatImage, *, max_depth_m: float = np.inf) -> float:
    """Return the factor for the estimate that makes its median the true one's: median(t) / median(d).

    Per-image median scaling, as Zhou et al., "Unsupervised Learning of Depth and Ego-Motion from Video", CVPR 2017,
    section 4.1, introduced it. Raises DataError as `measure_depth` does.
    """
    compared = _compared(estimated_m, true_m, max_depth_m)
    return float(np.median(true_m[compared]) / np.median(estimated_m[compared]))


def measure_normals(estimated: FloatImage, true: FloatImage) -> NormalErrors | None:
    """Measure (H, W, 3) unit normals of one frame against true ones; NaN is not compared, None when nothing is left.

    Raises DataError when the sizes differ.
    """
    angles = normal_angles_deg(estimated, true)
    angles = angles[np.isfinite(angles)]
    if not angles.size:
        return None
    return NormalErrors(
        mean_deg=float(np.mean(angles)),
        median_deg=float(np.median(angles)),
        within_11_25=float(np.mean(angles < NORMAL_THRESHOLD_DEG)),
    )


def normal_angles_deg(estimated: FloatImage, true: FloatImage) -> FloatImage:
    """Return the angle between two (H, W, 3) images of unit vectors, in degrees: (H, W), NaN where one is NaN."""
    _check_same_size("normals", estimated, true)
    a, b = estimated.astype(np.float64), true.astype(np.float64)
    # atan2 of sine and cosine stays exact near 0 degrees, where arccos of a rounded cosine does not.
    angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=2), np.sum(a * b, axis=2))
    return np.asarray(np.degrees(angle), np.float32)


def edge_error_px(estimated_m: FloatImage, true_m: FloatImage) -> float | None:
    """Return how far the edges of estimated depth lie from the true ones, in pixels; None if there is no dense truth.

    The mean of the distance from each true edge pixel to the nearest estimated one and the other way round, each cut
    off at 10 px: the depth boundary errors of Koch et al., "Evaluation of CNN-based Single-Image Depth Estimation
    Methods", ECCV workshops 2018. Edges are Canny's, of log depth. None as well if the truth has no edge.
    """
    _check_same_size("depth", estimated_m, true_m)
    known = np.isfinite(true_m) & (true_m > 0)
    if known.mean() < EDGE_MIN_KNOWN:
        return None
    true_edges, edges = (_depth_edges(depth, known) for depth in (true_m, estimated_m))
    if not true_edges.any():
        return None
    if not edges.any():
        return EDGE_REACH_PX
    to_edge, to_true_edge = (
        cv2.distanceTransform((~e).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for e in (edges, true_edges)
    )
    missed, misplaced = to_edge[true_edges], to_true_edge[edges]
    return float((np.minimum(missed, EDGE_REACH_PX).mean() + np.minimum(misplaced, EDGE_REACH_PX).mean()) / 2)


def _depth_edges(depth_m: FloatImage, known: Mask) -> Mask:
    """Return (H, W) bool, one pixel wide; where depth is not known there is the farthest known one instead."""
    usable = known & np.isfinite(depth_m) & (depth_m > 0)
    log_depth = np.log(np.where(usable, depth_m, depth_m[usable].max() if usable.any() else 1.0))
    # A step between two pixels gives four times its height in Sobel's filter; fixed point with 12 bits holds 8 of them.
    slopes = [cv2.Sobel(log_depth.astype(np.float32), cv2.CV_32F, dx, 1 - dx) for dx in (1, 0)]
    across, down = (np.clip(np.rint(slope * 4096 / 4), -32767, 32767).astype(np.int16) for slope in slopes)
    low, high = (4096 * math.log(ratio) for ratio in EDGE_RATIOS)
    return np.asarray(cv2.Canny(across, down, low, high, L2gradient=True) > 0)


def comparable(estimated_m: FloatImage, true_m: FloatImage, *, max_depth_m: float = np.inf) -> Mask:
    """Return (H, W) bool: where both depths are finite and above 0 and the true one is at most `max_depth_m`."""
    _check_same_size("depth", estimated_m, true_m)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(estimated_m) & np.isfinite(true_m) & (estimated_m > 0) & (true_m > 0)
        return np.asarray(known & (true_m <= max_depth_m))


def coverage(estimated_m: FloatImage, true_m: FloatImage, *, max_depth_m: float = np.inf) -> float:
    """Return the share of the pixels with a true depth that have an estimate as well; NaN when none has."""
    compared = comparable(estimated_m, true_m, max_depth_m=max_depth_m).sum()
    known = comparable(np.ones_like(true_m), true_m, max_depth_m=max_depth_m).sum()
    return float(compared / known) if known else float("nan")


def summarise(images: Iterable[Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Return {"mean": ..., "median": ...} over images of every figure they have; None and NaN are left out."""
    figures: dict[str, list[float]] = {}
    for image in images:
        for name, value in image.items():
            if value is not None and np.isfinite(value):
                figures.setdefault(name, []).append(value)
    return {
        "mean": {name: float(np.mean(values)) for name, values in figures.items()},
        "median": {name: float(np.median(values)) for name, values in figures.items()},
    }


def measure_image(
    *,
    estimated_m: FloatImage,
    true_m: FloatImage,
    estimated_normals: FloatImage | None,
    true_normals: FloatImage | None,
    max_depth_m: float = np.inf,
) -> dict[str, float | None]:
    """Return every figure of one image by name: depth as estimated, depth with its scale aligned, and normals.

    Figures of normals are None if either side has none. Raises DataError as `measure_depth` does.
    """
    scale = median_scale(estimated_m, true_m, max_depth_m=max_depth_m)
    metric = measure_depth(estimated_m, true_m, max_depth_m=max_depth_m)
    aligned = measure_depth(estimated_m * np.float32(scale), true_m, max_depth_m=max_depth_m)
    normals = None
    if estimated_normals is not None and true_normals is not None:
        normals = measure_normals(estimated_normals, true_normals)
    return {
        **asdict(metric),
        **{f"aligned_{name}": value for name, value in asdict(aligned).items()},
        "scale": scale,
        "coverage": coverage(estimated_m, true_m, max_depth_m=max_depth_m),
        "edge_px": edge_error_px(estimated_m, true_m),
        "normal_mean_deg": normals.mean_deg if normals else None,
        "normal_median_deg": normals.median_deg if normals else None,
        "normal_within_11_25": normals.within_11_25 if normals else None,
    }


def _compared(estimated_m: FloatImage, true_m: FloatImage, max_depth_m: float) -> Mask:
    mask = comparable(estimated_m, true_m, max_depth_m=max_depth_m)
    if not mask.any():
        limit = f" within {max_depth_m:g} m" if np.isfinite(max_depth_m) else ""
        raise DataError(
            f"no pixel has both a true depth{limit} and an estimate; expected at least one (0: not measured)"
        )
    return mask


def _check_same_size(what: str, estimated: FloatImage, true: FloatImage) -> None:
    if estimated.shape != true.shape:
        raise DataError(f"estimated {what} has shape {estimated.shape}, the true one {true.shape}; expected the same")
