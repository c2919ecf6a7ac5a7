"""Estimator: an RGB image and its camera in, metric depth, confidence and surface normals out."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError, ImageError
from metric3d_ros.estimation.depth_model import DepthModel
from metric3d_ros.estimation.inference_size import MIN_SIDE_PX, NATIVE
from metric3d_ros.estimation.size_policy import DEFAULT_RATE_HZ, SizePolicy
from metric3d_ros.estimation.views.estimate import Estimate as Estimate
from metric3d_ros.estimation.views.lens_views import RECTIFY_AUTO, choose_views, estimate_views
from metric3d_ros.geometry import turn_back, turn_normals_back, turn_upright, upright_camera
from metric3d_ros.out_of_memory import needing_memory

Float32Array = npt.NDArray[np.float32]
RgbArray = npt.NDArray[np.uint8]

DEPTH, CONFIDENCE, NORMALS = "depth", "confidence", "normals"
ALL_OUTPUTS = frozenset({DEPTH, CONFIDENCE, NORMALS})

# Bilinear upsampling across a depth edge invents points between the two surfaces; nearest does not.
_EDGE_RATIO = 1.03

_SMALLER_IMAGES = "give it smaller images, or more memory"


class Estimator:
    """Runs one depth model on images of any size.

    Attributes:
        model: the model that it runs.
        size: chooses the inference size of each image; can be set anew between images.
    """

    def __init__(
        self, model: DepthModel, *, inference_size: str = NATIVE, target_rate_hz: float = DEFAULT_RATE_HZ
    ) -> None:
        """See `SizePolicy.ask` for `inference_size` and the rate that "auto" holds, and its ConfigurationError."""
        self.model = model
        self.size = SizePolicy(model, inference_size, target_rate_hz=target_rate_hz)

    def warm_up(self, image_hw: tuple[int, int]) -> float:
        """Run once on a grey image of `image_hw`, so that the first real one is not slow; return seconds."""
        start = time.perf_counter()
        grey = np.full((*image_hw, 3), 128, np.uint8)
        self.estimate(grey, Camera.from_focal(image_hw[1], image_hw[0], focal_px=max(image_hw)))
        return time.perf_counter() - start

    def estimate(
        self,
        rgb: RgbArray,
        camera: Camera,
        *,
        outputs: Collection[str] = ALL_OUTPUTS,
        rectify: str = RECTIFY_AUTO,
    ) -> Estimate:
        """Estimate one image.

        Args:
            rgb: uint8 (H, W, 3), RGB.
            camera: the camera of this image; its focal length sets the scale.
            outputs: what to return beside depth: "confidence", "normals". What the model lacks is None in the result.
            rectify: whether the network sees the pinhole image that a camera with a lens would have taken: "auto" if
                its lens bends the image by 2 %, "on" or "off". A lens of more than 110 degrees is split into several
                images, and depth is then along the rays (`Estimate.camera.along_rays`).

        Raises:
            ImageError: not a uint8 (H, W, 3) image of at least 28 x 28 pixels.
            CameraError: the camera is for another size, or with "on" has a lens model that cannot be used.
            OutOfMemoryError: memory ran out. If that was at the inference size, the next image is estimated at a
                smaller one.
            InferenceError: the model failed on it in another way.
        """
        return self.estimate_batch([rgb], [camera], outputs=outputs, rectify=rectify)[0]

    def estimate_batch(
        self,
        images: Sequence[RgbArray],
        cameras: Sequence[Camera],
        *,
        outputs: Collection[str] = ALL_OUTPUTS,
        rotate_deg: int = 0,
        rectify: str = RECTIFY_AUTO,
    ) -> list[Estimate]:
        """Estimate several images of one size in one run; as `estimate`, with a result for each image in order.

        `timings_ms` is that of the whole batch in every result. With `rotate_deg`, as `geometry.turning` has it, the
        network sees the images turned upright. Its outputs come back at the pixels and in the frame of the images as
        they are; `inference_size_hw` is that of the upright ones.
        """
        if not images or len(images) != len(cameras):
            raise ImageError(
                f"{len(images)} images came with {len(cameras)} cameras, expected as many of both, not none"
            )
        for rgb, camera in zip(images, cameras, strict=True):
            _check_image(rgb, camera)
            if rgb.shape != images[0].shape:
                raise ImageError(f"images of a batch are {images[0].shape} and {rgb.shape}, expected one size")
        height, width = images[0].shape[:2]
        # The engine names the remedy if the network runs out of memory; all other memory grows with the image.
        with needing_memory(f"estimating {len(images)} image(s) of {width}x{height}", remedy=_SMALLER_IMAGES):
            views = [choose_views(camera, rectify) for camera in cameras]
            if all(each is None for each in views):
                return self._estimate_batch(images, cameras, outputs, rotate_deg)

            def estimate(images: Sequence[RgbArray], cameras: Sequence[Camera]) -> list[Estimate]:
                return self._estimate_batch(images, cameras, outputs, rotate_deg)

            return estimate_views(images, cameras, views, estimate)

    def _estimate_batch(
        self, images: Sequence[RgbArray], cameras: Sequence[Camera], outputs: Collection[str], rotate_deg: int
    ) -> list[Estimate]:
        if rotate_deg:
            return self._estimate_turned(images, cameras, outputs, rotate_deg)
        wanted = self._contract_outputs(outputs)
        parts = self.size.split(len(images))
        return [estimate for part in parts for estimate in self._run(images[part], cameras[part], wanted)]

    def _estimate_turned(
        self, images: Sequence[RgbArray], cameras: Sequence[Camera], outputs: Collection[str], rotate_deg: int
    ) -> list[Estimate]:
        upright = [turn_upright(rgb, rotate_deg) for rgb in images]
        upright_cameras = [upright_camera(camera, rotate_deg) for camera in cameras]
        estimates = self._estimate_batch(upright, upright_cameras, outputs, 0)
        return [
            replace(
                each,
                depth_m=turn_back(each.depth_m, rotate_deg),
                confidence=None if each.confidence is None else turn_back(each.confidence, rotate_deg),
                normals=None if each.normals is None else turn_normals_back(each.normals, rotate_deg),
                camera=camera,
            )
            for each, camera in zip(estimates, cameras, strict=True)
        ]

    def _contract_outputs(self, outputs: Collection[str]) -> frozenset[str]:
        unknown = set(outputs) - ALL_OUTPUTS
        if unknown:
            raise ConfigurationError(f"outputs {sorted(unknown)} are not known, expected some of {sorted(ALL_OUTPUTS)}")
        wanted = {model_contract.DEPTH}
        if CONFIDENCE in outputs:
            wanted.add(model_contract.CONFIDENCE)
        if NORMALS in outputs:
            wanted.add(model_contract.NORMAL)
        return frozenset(wanted & self.model.outputs)

    def _run(self, images: Sequence[RgbArray], cameras: Sequence[Camera], wanted: frozenset[str]) -> list[Estimate]:
        dialect = self.model.dialect
        started = time.perf_counter()
        image_hw = (images[0].shape[0], images[0].shape[1])
        placed = self.size.place(image_hw)
        focal_px = [placed.focal_px(camera, dialect) for camera in cameras]
        with self.size.learn_memory(placed.canvas_hw, images=len(images)):
            feeds = dialect.prepare([placed.place(rgb) for rgb in images], focal_px)
            prepared = time.perf_counter()
            results = self.model.run(feeds, outputs=wanted)
            inferred = time.perf_counter()
            maps = placed.crop(self.model.finish(results, focal_px, placed.canvas_hw))
        finished = [_finish({name: array[i] for name, array in maps.items()}, image_hw) for i in range(len(images))]
        timings_ms = _stage_times(started, prepared, inferred, time.perf_counter())
        self.size.note_run(image_hw, placed.size_hw, sum(timings_ms.values()))
        return [
            Estimate(*parts, camera=camera, inference_size_hw=placed.size_hw, timings_ms=timings_ms)
            for parts, camera in zip(finished, cameras, strict=True)
        ]


def _check_image(rgb: Any, camera: Camera) -> None:
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        got = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ImageError(f"image is {got}, expected a uint8 RGB array of shape (H, W, 3)")
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(
            f"image is {width}x{height} pixels, expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX}: give larger images"
        )
    if camera.size_hw != (height, width):
        raise CameraError(
            f"the camera is calibrated for {camera.width}x{camera.height}, but the image is {width}x{height}: publish "
            "the camera_info of this image, or resize both alike"
        )


def _finish(
    maps: dict[str, Float32Array], image_hw: tuple[int, int]
) -> tuple[Float32Array, Float32Array | None, Float32Array | None]:
    """Return depth, confidence and normals at the image's size, NaN where the network's value is unusable."""
    depth_m = _resize_depth(np.asarray(maps[model_contract.DEPTH], np.float32), image_hw)
    usable = np.isfinite(depth_m) & (depth_m > 0)
    all_usable = bool(usable.all())
    if not all_usable:
        depth_m = np.where(usable, depth_m, np.float32(np.nan))
    confidence = maps.get(model_contract.CONFIDENCE)
    if confidence is not None and confidence.shape[:2] != image_hw:
        confidence = np.asarray(cv2.resize(confidence, image_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    if confidence is not None:
        confidence = _clip_confidence(np.asarray(confidence, np.float32))
    normals = maps.get(model_contract.NORMAL)
    if normals is not None and normals.shape[:2] != image_hw:
        normals = np.asarray(cv2.resize(normals, image_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            normals = normals / np.linalg.norm(normals, axis=2, keepdims=True)
    if not all_usable:
        confidence = None if confidence is None else np.where(usable, confidence, np.float32(0))
        normals = None if normals is None else np.where(usable[..., None], normals, np.float32(np.nan))
    return depth_m, confidence, normals


def _clip_confidence(confidence: Float32Array) -> Float32Array:
    """Return confidence within 0 and 1, which networks overshoot a little; 0 where it is NaN."""
    # A NaN makes both extremes NaN, and NaN compares false; two reductions need no memory.
    if confidence.min() >= 0 and confidence.max() <= 1:
        return confidence
    return np.clip(np.nan_to_num(confidence, nan=0.0), np.float32(0), np.float32(1))


def _resize_depth(depth_m: Float32Array, image_hw: tuple[int, int]) -> Float32Array:
    """Return depth at `image_hw`: bilinear on surfaces, nearest across edges."""
    if depth_m.shape == image_hw:
        return depth_m
    size = image_hw[::-1]
    nearest = np.asarray(cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
    smooth = np.asarray(cv2.resize(depth_m, size, interpolation=cv2.INTER_LINEAR), np.float32)
    with np.errstate(invalid="ignore"):
        on_surface = (smooth < nearest * _EDGE_RATIO) & (nearest < smooth * _EDGE_RATIO)
    return np.where(on_surface, smooth, nearest)


def _stage_times(started: float, prepared: float, inferred: float, finished: float) -> dict[str, float]:
    return {
        "prepare": (prepared - started) * 1e3,
        "infer": (inferred - prepared) * 1e3,
        "finish": (finished - inferred) * 1e3,
    }
