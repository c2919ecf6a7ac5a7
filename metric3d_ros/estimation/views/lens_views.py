"""Images of lenses to pinhole views for the network, and its outputs back to the images' own pixels.

Networks of this kind were trained on pinhole images. If a lens bends its rays noticeably, the network sees the pinhole
image that the camera would have taken. A lens too wide for one view is split into several, which go through the network
as one batch and are merged again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.camera.views.fisheye_views import FisheyeViews, field_of_view_deg, fisheye_views
from metric3d_ros.camera.views.rectified_view import RectifiedView, rectified_view
from metric3d_ros.errors import CameraError
from metric3d_ros.estimation.views.estimate import Estimate

RECTIFY_AUTO, RECTIFY_ON, RECTIFY_OFF = "auto", "on", "off"
RECTIFY = (RECTIFY_AUTO, RECTIFY_ON, RECTIFY_OFF)

WIDEST_VIEW_DEG = 110.0
"""A wider lens is split into several views."""
# Pixels displaced by at most this part of the image's half diagonal stay: on rendered rooms the demo model's error of
# the raw image is then hardly above that of a pinhole (k1 = -0.02: 0.0793 and 0.0782).
_LEAST_BEND = 0.02

RgbArray = npt.NDArray[np.uint8]
Views = RectifiedView | FisheyeViews


@functools.lru_cache(maxsize=16)
def choose_views(camera: Camera, rectify: str) -> Views | None:
    """Return the views in which the network sees a camera's images; None if it sees them as they are.

    With `RECTIFY_AUTO` lenses that hardly bend their rays are left alone, and so is a lens model that cannot be used.
    Raises CameraError for such a model with `RECTIFY_ON`.
    """
    if rectify == RECTIFY_OFF or camera.lens is None:
        return None
    try:
        if field_of_view_deg(camera) > WIDEST_VIEW_DEG:
            return fisheye_views(camera)
        if rectify == RECTIFY_AUTO and _bend(camera) < _LEAST_BEND:
            return None
        return rectified_view(camera)
    except CameraError:
        if rectify == RECTIFY_AUTO:
            return None
        raise


def view_to_show(camera: Camera, rectify: str) -> RectifiedView | None:
    """Return the view that outputs are to be in if they are to be rectified; None for the image as it is.

    Raises CameraError for a lens that no pinhole image shows.
    """
    return None if rectify == RECTIFY_OFF or camera.lens is None else rectified_view(camera)


def leave_out_unseen(estimate: Estimate, seen: npt.NDArray[np.bool_]) -> Estimate:
    """Return the estimate of a view with invalid pixels where its camera does not see: `seen` is (H, W)."""
    return replace(
        estimate,
        depth_m=np.where(seen, estimate.depth_m, np.float32(np.nan)),
        confidence=None if estimate.confidence is None else np.where(seen, estimate.confidence, np.float32(0)),
        normals=None if estimate.normals is None else np.where(seen[..., None], estimate.normals, np.float32(np.nan)),
    )


def _bend(camera: Camera) -> float:
    """Return how far the lens moves a pixel at most, as a part of the image's half diagonal on the plane z = 1."""
    rays = camera.rays()[::8, ::8]
    u, v = (side[::8] for side in camera.plane_coordinates())
    moved = np.hypot(rays[..., 0] - u, rays[..., 1] - v[:, None])
    if not np.isfinite(moved).any():
        return 0.0
    return float(np.nanmax(moved) / np.hypot(camera.width / camera.fx / 2, camera.height / camera.fy / 2))


def estimate_views(
    images: Sequence[RgbArray],
    cameras: Sequence[Camera],
    chosen: Sequence[Views | None],
    estimate: Callable[[Sequence[RgbArray], Sequence[Camera]], list[Estimate]],
) -> list[Estimate]:
    """Estimate images through their views; the results are at the images' own pixels.

    `estimate` takes images of one size with their cameras. The depth of split images is the range along the rays, and
    their estimate's camera is measured along rays.
    """
    started_s = time.perf_counter()
    shown: list[list[tuple[RgbArray, Camera]]] = [
        _show(image, camera, views) for image, camera, views in zip(images, cameras, chosen, strict=True)
    ]
    prepared_s = time.perf_counter()
    flat = [pair for of_image in shown for pair in of_image]
    sizes = list(dict.fromkeys(image.shape[:2] for image, _ in flat))
    done: dict[int, Estimate] = {}
    timings_ms: dict[str, float] = {}
    for size in sizes:
        ranks = [rank for rank, (image, _) in enumerate(flat) if image.shape[:2] == size]
        results = estimate([flat[rank][0] for rank in ranks], [flat[rank][1] for rank in ranks])
        done |= zip(ranks, results, strict=True)
        for stage, time_ms in results[0].timings_ms.items():
            timings_ms[stage] = timings_ms.get(stage, 0.0) + time_ms
    merged_s = time.perf_counter()
    results, first = [], 0
    for camera, views, of_image in zip(cameras, chosen, shown, strict=True):
        results.append(_take_back([done[first + rank] for rank in range(len(of_image))], camera, views))
        first += len(of_image)
    timings_ms["prepare"] = timings_ms.get("prepare", 0.0) + (prepared_s - started_s) * 1e3
    timings_ms["finish"] = timings_ms.get("finish", 0.0) + (time.perf_counter() - merged_s) * 1e3
    return [replace(result, timings_ms=timings_ms) for result in results]


def _show(image: RgbArray, camera: Camera, views: Views | None) -> list[tuple[RgbArray, Camera]]:
    if views is None:
        return [(image, camera)]
    if isinstance(views, RectifiedView):
        return [(views.rectify(image), views.camera)]
    return [(part, views.view_camera) for part in views.split(image)]


def _take_back(results: Sequence[Estimate], camera: Camera, views: Views | None) -> Estimate:
    first = results[0]
    if views is None:
        return first
    if isinstance(views, RectifiedView):
        return replace(
            first,
            depth_m=views.depth_to_raw(first.depth_m),
            confidence=None if first.confidence is None else views.confidence_to_raw(first.confidence),
            normals=None if first.normals is None else views.normals_to_raw(first.normals),
            camera=camera,
        )
    merged = views.merge(
        [each.depth_m for each in results],
        confidences=None if first.confidence is None else [_known(each.confidence) for each in results],
        normals=None if first.normals is None else [_known(each.normals) for each in results],
    )
    return replace(
        first, depth_m=merged.range_m, confidence=merged.confidence, normals=merged.normals, camera=views.raw
    )


def _known(array: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    assert array is not None, "one model gives the same outputs for each view"
    return array
