"""A frame with its estimate; what several outputs share is computed once, and only if one of them is built."""

import dataclasses
import math
import threading
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.estimation.estimator import Estimate
from metric3d_ros.geometry import (
    GroundPlane,
    NoGround,
    cell_normals_from_depth,
    convert_depth,
    depth_to_points,
    filter_depth,
    find_ground,
    find_obstacles,
)
from metric3d_ros.messages.stamps import stamp_ns
from metric3d_ros.outputs.options import FROM_DEPTH, INFINITE, RANGE, DecodedFrame, OutputOptions
from metric3d_ros.pictures import DepthColours, SteadyRange

Float32Array = npt.NDArray[np.float32]
Rgb = npt.NDArray[np.uint8]
T = TypeVar("T")
F = TypeVar("F", bound=DecodedFrame)

# `missing_depth` samples every so many rows and columns: shares are exact to a hundredth, and 1080p costs 0.1 ms.
_STRIDE = 8
# Farther than any limit.
_SKY_M = 1e5


@dataclasses.dataclass(frozen=True, kw_only=True)
class MissingDepth:
    """Shares from 0 to 1 of one image's pixels; None for what was not asked for."""

    depth: float | None = None
    """NaN in depth/image."""
    points: float | None = None
    """Without a point, for lack of depth or of a ray."""


class _computed_once(cached_property[T]):
    """A cached_property of a Result that one thread computes while others wait: Python does so up to 3.11 only."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with instance.lock:
            return super().__get__(instance, owner)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result(Generic[F]):
    """All that outputs are made from."""

    frame: F
    """Decoded."""
    estimate: Estimate | None
    """None if no output that is wanted needs one."""
    parameters: OutputOptions
    """Those that it was estimated with."""
    is_corrected: bool = False
    """Whether the estimate may have invalid pixels, and infinite ones for sky."""
    known_ground: GroundPlane | NoGround | None = None
    """The ground, if it has been looked for already."""
    depth_range: SteadyRange = dataclasses.field(default_factory=SteadyRange)
    """The camera's own, from one image to the next."""
    lock: threading.RLock = dataclasses.field(default_factory=threading.RLock, repr=False, compare=False)
    """Held while something shared is computed."""

    @property
    def header(self) -> Any:
        """The image's own header: every output carries its stamp."""
        return self.frame.header

    @property
    def rgb(self) -> Rgb:
        """(H, W, 3)."""
        return self.frame.rgb

    @property
    def camera(self) -> Camera:
        """The image's camera; measured along rays if its lens was split into several views."""
        return self.frame.camera if self.estimate is None else self.estimate.camera

    @property
    def camera_info(self) -> Any:
        """The image's CameraInfo message; None if a file or parameters describe the camera."""
        return self.frame.camera_info

    @_computed_once
    def far_depth_m(self) -> Float32Array:
        """(H, W) metres as the camera measures them, NaN outside of the limits of `depth.*`.

        Beyond `depth.max_m` as it is, +Inf for sky.
        """
        estimate, limits = self._estimate, self.parameters.depth
        if not (limits.min_m or limits.min_confidence or limits.max_jump):
            return estimate.depth_m
        filtered = filter_depth(
            estimate.depth_m,
            min_depth_m=limits.min_m,
            confidence=estimate.confidence,
            min_confidence=limits.min_confidence,
            max_jump=limits.max_jump or None,
        )
        if self.is_corrected:
            np.copyto(filtered, np.float32(np.inf), where=np.isposinf(estimate.depth_m))
        return filtered

    @_computed_once
    def depth_m(self) -> Float32Array:
        """(H, W) metres, NaN outside of the limits of `depth.*`, `depth.max_m` included."""
        limits = self.parameters.depth
        far_depth_m: Float32Array = self.far_depth_m
        if not (limits.max_m or self.is_corrected):
            return far_depth_m
        return filter_depth(far_depth_m, max_depth_m=limits.max_depth_m)

    def as_published(self, depth_m: Float32Array) -> Float32Array:
        """Return depth (H, W) as `depth.kind` has it: z, or range along the rays."""
        return convert_depth(depth_m, self.camera, to_range=self.parameters.depth.kind == RANGE)

    @_computed_once
    def cloud_depth_m(self) -> Float32Array:
        """(H, W) metres, NaN outside of the limits of `depth.*` or `points.*`."""
        limits = self.parameters.points
        depth_m: Float32Array = self.depth_m
        if not (limits.max_m or limits.min_confidence or limits.max_jump):
            return depth_m
        return filter_depth(
            depth_m,
            max_depth_m=limits.max_m or float("inf"),
            confidence=self._estimate.confidence,
            min_confidence=limits.min_confidence,
            max_jump=limits.max_jump or None,
        )

    @_computed_once
    def normals(self) -> Float32Array:
        """(H, W, 3) unit vectors that face the camera, NaN where `depth_m` is; from depth if the network has none.

        From depth they are those of cells, because the depth of networks has no more resolution.
        """
        estimate = self._estimate
        normals = estimate.normals
        if normals is None or self.parameters.normals.source == FROM_DEPTH:
            # Of the demo model's depth, those of pixels are 21 degrees off the truth, those of cells 16.
            normals = cell_normals_from_depth(estimate.depth_m, self.camera)
        return normals if self._known is None else np.where(self._known[..., None], normals, np.float32(np.nan))

    @_computed_once
    def confidence(self) -> Float32Array | None:
        """(H, W), 0 to 1, 0 where `depth_m` is NaN; None if the model gives none."""
        confidence = self._estimate.confidence
        if confidence is None or self._known is None:
            return confidence
        return np.where(self._known, confidence, np.float32(0))

    @_computed_once
    def depth_colours(self) -> DepthColours:
        """How `depth_m` becomes colours, by `color.*`; the camera's own range follows each image once."""
        options = self.parameters.color
        near_m, far_m = options.near_m, options.far_m
        if not far_m:
            depth_m: Float32Array = self.depth_m
            near_m, far_m = self.depth_range.follow(depth_m, stamp_ns=stamp_ns(self), of=self.header.frame_id)
        return DepthColours(near_m=near_m, far_m=far_m, colour_map=options.map, scale=cast(Any, options.scale))

    @_computed_once
    def ground(self) -> GroundPlane | NoGround:
        """The ground plane, or why there is none."""
        if self.known_ground is not None:
            return self.known_ground
        estimate = self._estimate
        return find_ground(
            estimate.depth_m, self.camera, normals=estimate.normals, options=self.parameters.ground_options
        )

    @_computed_once
    def obstacles(self) -> tuple[Float32Array, npt.NDArray[np.bool_]] | None:
        """Points (h, w, 3) at the stride of `obstacles.*`, and which of them are obstacles; None without ground."""
        ground, options = self.ground, self.parameters.obstacles
        if isinstance(ground, NoGround):
            return None
        points = depth_to_points(self.cloud_depth_m, self.camera, stride=options.stride)
        return points, find_obstacles(points, ground, options=options.options)

    def find_far_obstacles(self) -> tuple[Float32Array, npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
        """Return `obstacles` for the scan, and which points are to be trusted (h, w); None without ground.

        The scan ends at a distance along the ground, so no point is too far along the optical axis here, and sky is
        just far away. What the other limits of `depth.*` and `points.*` leave out is not trusted.
        """
        ground, options, limits = self.ground, self.parameters.obstacles, self.parameters.points
        if isinstance(ground, NoGround):
            return None
        depth_m, far_depth_m = self._estimate.depth_m, self.far_depth_m
        if self.cloud_depth_m is depth_m and self.obstacles is not None:  # nothing is left out
            points, are_obstacles = self.obstacles
            return points, are_obstacles, np.ones(are_obstacles.shape, np.bool_)
        if limits.min_confidence or limits.max_jump:
            far_depth_m = filter_depth(
                far_depth_m,
                confidence=self._estimate.confidence,
                min_confidence=limits.min_confidence,
                max_jump=limits.max_jump or None,
            )
        every = (slice(None, None, options.stride),) * 2
        trusted = ~np.isnan(far_depth_m[every])
        if self.is_corrected:
            trusted |= np.isposinf(depth_m[every])
            depth_m = np.minimum(depth_m, np.float32(_SKY_M))
        points = depth_to_points(depth_m, self.camera, stride=options.stride)
        return points, find_obstacles(points, ground, options=options.options), trusted

    @_computed_once
    def _known(self) -> npt.NDArray[np.bool_] | None:
        """(H, W), true where `depth_m` is finite; None if the limits of `depth.*` remove nothing."""
        return None if self.depth_m is self._estimate.depth_m and not self.is_corrected else np.isfinite(self.depth_m)

    def missing_depth(self) -> MissingDepth:
        """Return the shares of the pixels without depth and without a point, of what has been computed by now.

        Of a fisheye's image only the circle counts: what the lens does not light is not missing.
        """
        computed = vars(self)
        no_ray = np.isnan(self.camera.ray_planes(stride=_STRIDE)[2])
        counted = ~no_ray if self.camera.is_fisheye else np.True_
        depth = computed.get("far_depth_m")
        no_depth = None
        if depth is not None:
            sampled_m = depth[::_STRIDE, ::_STRIDE]
            no_depth = np.isnan(sampled_m)
            if self.parameters.depth.far != INFINITE:
                no_depth |= (sampled_m > self.parameters.depth.max_depth_m) | np.isposinf(sampled_m)
        cloud = computed.get("cloud_depth_m")
        points = None
        if cloud is not None:
            points = _share(np.isnan(cloud[::_STRIDE, ::_STRIDE]) | no_ray, counted)
        return MissingDepth(depth=None if no_depth is None else _share(no_depth, counted), points=points)

    def describe_ground(self) -> str:
        """Return what was found of the ground, or why nothing was; "" if no output asked for it."""
        ground = vars(self).get("ground")
        if ground is None or isinstance(ground, NoGround):
            return f"none: {ground.reason}" if ground else ""
        pitch, roll = math.degrees(ground.pitch_rad), math.degrees(ground.roll_rad)
        return f"{ground.height_m:.2f} m below the camera, pitch {pitch:.1f}, roll {roll:.1f} degrees"

    @property
    def _estimate(self) -> Estimate:
        assert self.estimate is not None, "an output that uses an estimate must name it in `needs`"
        return self.estimate


def _share(missing: npt.NDArray[np.bool_], counted: npt.NDArray[np.bool_] | np.bool_) -> float:
    counted = np.broadcast_to(counted, missing.shape)
    return int(np.count_nonzero(missing & counted)) / max(int(np.count_nonzero(counted)), 1)
