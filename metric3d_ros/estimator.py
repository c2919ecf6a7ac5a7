"""Estimator: an RGB image and its camera in, metric depth, confidence and surface normals out."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros import foreign, model_contract
from metric3d_ros.camera import Camera
from metric3d_ros.engine import Engine
from metric3d_ros.errors import CameraError, ConfigurationError, ImageError

Float32Array = npt.NDArray[np.float32]
RgbArray = npt.NDArray[np.uint8]

DEPTH, CONFIDENCE, NORMALS = "depth", "confidence", "normals"
ALL_OUTPUTS = frozenset({DEPTH, CONFIDENCE, NORMALS})

MIN_SIDE_PX = 28
NATIVE, TRAINED = "native", "trained"

# Past this many times the pixels it was trained with, a network's depth is known to degrade.
_FAR_ABOVE_TRAINED = 1.5
# Bilinear upsampling across a depth edge invents points between the two surfaces; nearest does not.
_EDGE_RATIO = 1.03


@dataclass(frozen=True)
class Estimate:
    """What the network says of one image, at the image's own resolution.

    Attributes:
        depth_m: float32 (H, W), metres along the optical axis (z), NaN where invalid.
        confidence: float32 (H, W), expected accuracy, about 0..1; None where not asked for or not in the model.
        normals: float32 (H, W, 3), unit vectors in the optical frame that face the camera, NaN where invalid; None
            where not asked for or not in the model.
        camera: the image's camera.
        inference_size_hw: (height, width) of the image that the network saw, before padding.
        timings_ms: milliseconds by stage: "prepare", "infer", "finish".
    """

    depth_m: Float32Array
    confidence: Float32Array | None
    normals: Float32Array | None
    camera: Camera
    inference_size_hw: tuple[int, int]
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class InferenceSize:
    """At which size the network sees an image; outputs come back at the image's own size in every case.

    `max_width` x `max_height` and `max_pixels` are caps that keep the aspect and never enlarge; `trained` asks for the
    largest size of the image's aspect within the pixel count that the network was trained with.
    """

    trained: bool = False
    max_width: int | None = None
    max_height: int | None = None
    max_pixels: float | None = None

    @classmethod
    def parse(cls, text: str) -> InferenceSize:
        """Read "native", "trained", "WIDTHxHEIGHT" (pixels) or megapixels such as "0.5MP".

        Raises:
            ConfigurationError: any other text, or a size below 28 pixels.
        """
        words = text.strip().lower()
        if words == NATIVE:
            return cls()
        if words == TRAINED:
            return cls(trained=True)
        if size := re.fullmatch(r"(\d+)\s*x\s*(\d+)", words):
            width, height = int(size[1]), int(size[2])
            if min(width, height) >= MIN_SIDE_PX:
                return cls(max_width=width, max_height=height)
        elif megapixels := re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(?:mp|megapixels)", words):
            pixels = float(megapixels[1]) * 1e6
            if pixels >= MIN_SIDE_PX**2:
                return cls(max_pixels=pixels)
        raise ConfigurationError(
            f"inference_size is '{text}', expected 'native', 'trained', WIDTHxHEIGHT such as '640x480' (at least "
            f"{MIN_SIDE_PX}x{MIN_SIDE_PX}) or megapixels such as '0.5MP'"
        )

    def choose(self, image_hw: tuple[int, int], *, training_size_hw: tuple[int, int] | None) -> tuple[int, int]:
        """Return the (height, width) that an image of `image_hw` is resized to; at least 28 on each side.

        Raises:
            ConfigurationError: "trained", for a model that does not say what it was trained with.
        """
        height, width = image_hw
        scale = 1.0
        if self.trained:
            if training_size_hw is None:
                raise ConfigurationError(
                    f"inference_size '{TRAINED}' needs a model that states its training size, and this one does not: "
                    f"use '{NATIVE}' or WIDTHxHEIGHT"
                )
            scale = math.sqrt(math.prod(training_size_hw) / (height * width))
        if self.max_pixels is not None:
            scale = min(1.0, math.sqrt(self.max_pixels / (height * width)))
        if self.max_width is not None and self.max_height is not None:
            scale = min(1.0, self.max_width / width, self.max_height / height)
        if scale == 1.0:
            return image_hw
        # A side that is whole but for rounding must not lose a pixel.
        height, width = (max(MIN_SIDE_PX, math.floor(side * scale + 1e-6)) for side in image_hw)
        return height, width


class Estimator:
    """Runs one engine on images of any size, at an inference size that can change between images."""

    def __init__(self, engine: Engine, *, inference_size: str = NATIVE) -> None:
        self.engine = engine
        self.set_inference_size(inference_size)

    @property
    def training_size_hw(self) -> tuple[int, int] | None:
        """(height, width) that the network was trained with; None where the model does not say."""
        return self.engine.metadata.training_size_hw if self.engine.metadata else None

    def set_inference_size(self, text: str) -> None:
        """Set the size from the next image on; see `InferenceSize.parse`, whose ConfigurationError it raises."""
        size = InferenceSize.parse(text)
        size.choose((MIN_SIDE_PX, MIN_SIDE_PX), training_size_hw=self.training_size_hw)
        self.inference_size = size

    def inference_size_for(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) at which the network will see an image of `image_hw`."""
        if self.engine.fixed_size_hw:
            return foreign.fit_image(image_hw, fixed_size_hw=self.engine.fixed_size_hw).inner_hw
        return self.inference_size.choose(image_hw, training_size_hw=self.training_size_hw)

    def size_advice(self, image_hw: tuple[int, int]) -> str | None:
        """Return one sentence to warn with where images of `image_hw` go in far above the training size."""
        trained = self.training_size_hw
        height, width = self.inference_size_for(image_hw)
        if trained is None or height * width <= _FAR_ABOVE_TRAINED * math.prod(trained):
            return None
        return (
            f"inference runs at {width}x{height}, far above the {trained[1]}x{trained[0]} that "
            f"{self.engine.model_name} was trained with: depth may degrade and takes longer; "
            f"inference_size '{TRAINED}' avoids both"
        )

    def warm_up(self, image_hw: tuple[int, int]) -> float:
        """Run once on a grey image of `image_hw`, so that the first real one is not slow; return seconds."""
        start = time.perf_counter()
        grey = np.full((*image_hw, 3), 128, np.uint8)
        self.estimate(grey, Camera.from_focal(image_hw[1], image_hw[0], focal_px=max(image_hw)))
        return time.perf_counter() - start

    def estimate(self, rgb: RgbArray, camera: Camera, *, outputs: Collection[str] = ALL_OUTPUTS) -> Estimate:
        """Estimate one image.

        Args:
            rgb: uint8 (H, W, 3), RGB.
            camera: the camera of this image; its focal length sets the scale.
            outputs: what is wanted beside depth: "confidence", "normals". What a model lacks is None in the result.

        Raises:
            ImageError: not a uint8 (H, W, 3) image of at least 28 x 28 pixels.
            CameraError: the camera is for another size.
            InferenceError: the model failed on it.
        """
        return self.estimate_batch([rgb], [camera], outputs=outputs)[0]

    def estimate_batch(
        self, images: Sequence[RgbArray], cameras: Sequence[Camera], *, outputs: Collection[str] = ALL_OUTPUTS
    ) -> list[Estimate]:
        """Estimate several images of one size in one run; as `estimate`, with a result for each image in order.

        `timings_ms` is that of the whole batch in every result.
        """
        if not images or len(images) != len(cameras):
            raise ImageError(
                f"{len(images)} images came with {len(cameras)} cameras, expected as many of both, not none"
            )
        for rgb, camera in zip(images, cameras, strict=True):
            _check_image(rgb, camera)
            if rgb.shape != images[0].shape:
                raise ImageError(f"images of a batch are {images[0].shape} and {rgb.shape}, expected one size")
        wanted = self._contract_outputs(outputs)
        if self.engine.dialect.self_contained:
            return self._run_contract(images, cameras, wanted)
        return [self._run_foreign(rgb, camera, wanted) for rgb, camera in zip(images, cameras, strict=True)]

    def _contract_outputs(self, outputs: Collection[str]) -> frozenset[str]:
        unknown = set(outputs) - ALL_OUTPUTS
        if unknown:
            raise ConfigurationError(f"outputs {sorted(unknown)} are not known, expected some of {sorted(ALL_OUTPUTS)}")
        wanted = {model_contract.DEPTH}
        if CONFIDENCE in outputs:
            wanted.add(model_contract.CONFIDENCE)
        if NORMALS in outputs:
            wanted.add(model_contract.NORMAL)
        return frozenset(wanted & self.engine.outputs)

    def _run_contract(
        self, images: Sequence[RgbArray], cameras: Sequence[Camera], wanted: frozenset[str]
    ) -> list[Estimate]:
        started = time.perf_counter()
        image_hw = (images[0].shape[0], images[0].shape[1])
        size_hw = self.inference_size_for(image_hw)
        fed = [_resize_image(rgb, size_hw) for rgb in images]
        batch = fed[0][None] if len(fed) == 1 else np.stack(fed)
        focal_px = np.array([camera.scaled(size_hw[1], size_hw[0]).focal_px for camera in cameras], np.float32)
        prepared = time.perf_counter()
        results = self.engine.infer(batch, focal_px, outputs=wanted)
        inferred = time.perf_counter()
        maps = [_finish({name: array[i] for name, array in results.items()}, image_hw) for i in range(len(images))]
        timings_ms = _stage_times(started, prepared, inferred, time.perf_counter())
        return [
            Estimate(*parts, camera=camera, inference_size_hw=size_hw, timings_ms=timings_ms)
            for parts, camera in zip(maps, cameras, strict=True)
        ]

    def _run_foreign(self, rgb: RgbArray, camera: Camera, wanted: frozenset[str]) -> Estimate:
        started = time.perf_counter()
        image_hw = (rgb.shape[0], rgb.shape[1])
        size_hw = image_hw if self.engine.fixed_size_hw else self.inference_size_for(image_hw)
        fit = foreign.fit_image(size_hw, fixed_size_hw=self.engine.fixed_size_hw)
        fed = foreign.prepare_image(_resize_image(rgb, size_hw), fit)
        prepared = time.perf_counter()
        results = self.engine.infer(fed, None, outputs=wanted)
        inferred = time.perf_counter()
        maps = {name: foreign.finish_map(array, fit) for name, array in results.items()}
        focal_px = camera.scaled(size_hw[1], size_hw[0]).focal_px
        maps[model_contract.DEPTH] = foreign.canonical_to_metres(maps[model_contract.DEPTH], focal_px, fit)
        depth_m, confidence, normals = _finish(maps, image_hw)
        timings_ms = _stage_times(started, prepared, inferred, time.perf_counter())
        return Estimate(depth_m, confidence, normals, camera, fit.inner_hw, timings_ms)


def _check_image(rgb: Any, camera: Camera) -> None:
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        got = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ImageError(f"image is {got}, expected a uint8 RGB array of shape (H, W, 3)")
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(f"image is {width}x{height} pixels, expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX}")
    if camera.size_hw != (height, width):
        raise CameraError(
            f"the camera is calibrated for {camera.width}x{camera.height}, but the image is {width}x{height}: publish "
            "the camera_info of this image, or resize both alike"
        )


def _resize_image(rgb: RgbArray, size_hw: tuple[int, int]) -> RgbArray:
    if rgb.shape[:2] == size_hw:
        return np.ascontiguousarray(rgb)
    shrinks = size_hw[0] * size_hw[1] < rgb.shape[0] * rgb.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size_hw[::-1], interpolation=interpolation), np.uint8)


def _finish(
    maps: dict[str, Float32Array], image_hw: tuple[int, int]
) -> tuple[Float32Array, Float32Array | None, Float32Array | None]:
    """Return depth, confidence and normals at the image's size, NaN where the network's value is unusable."""
    depth_m = _resize_depth(np.asarray(maps[model_contract.DEPTH], np.float32), image_hw)
    usable = np.isfinite(depth_m) & (depth_m > 0)
    if not usable.all():
        depth_m = np.where(usable, depth_m, np.float32(np.nan))
    confidence = maps.get(model_contract.CONFIDENCE)
    if confidence is not None and confidence.shape[:2] != image_hw:
        confidence = np.asarray(cv2.resize(confidence, image_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    normals = maps.get(model_contract.NORMAL)
    if normals is not None and normals.shape[:2] != image_hw:
        normals = np.asarray(cv2.resize(normals, image_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            normals = normals / np.linalg.norm(normals, axis=2, keepdims=True)
    return depth_m, confidence, normals


def _resize_depth(depth_m: Float32Array, image_hw: tuple[int, int]) -> Float32Array:
    """Return depth at `image_hw`: bilinear on surfaces, nearest across edges."""
    if depth_m.shape == image_hw:
        return depth_m
    size = image_hw[::-1]
    nearest = np.asarray(cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST), np.float32)
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
