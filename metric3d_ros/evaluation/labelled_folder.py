"""Folders of images with measured depth, described by a dataset.yaml (docs/evaluate.md) or by options."""

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metric3d_ros.camera import Camera, check_camera_info, fit_camera
from metric3d_ros.camera.calibration.files import read_calibration, read_calibration_file
from metric3d_ros.comparison.labelled_images import Sample
from metric3d_ros.errors import CameraError, DataError
from metric3d_ros.evaluation.poses import Pose, read_poses
from metric3d_ros.files.boundary import one_line_about
from metric3d_ros.files.excerpts import excerpt, shorten, some
from metric3d_ros.files.paths import user_path
from metric3d_ros.files.yaml_text import read_mapping
from metric3d_ros.recordings.depth_files import MILLIMETRES, PICTURE_SUFFIXES, read_depth, read_normals
from metric3d_ros.recordings.images import IMAGE_SUFFIXES, natural_order, read_rgb

INDEX_NAME = "dataset.yaml"
_GROUP_KEYS = {"name", "rgb", "depth", "normals", "depth_units_per_metre", "camera", "max_depth_m", "poses"}
_MOST_LETTERS, _MOST_STARS = 500, 8
"""Of a pattern: more stars match one name in so many ways that it takes seconds."""
_EXPECTED_PATTERN = "expected one such as run/*_rgb.png, relative to the folder"
_CAMERA_KEYS = ({"fx", "fy", "cx", "cy"}, {"focal_px"}, {"hfov_deg"})


@dataclass(frozen=True)
class CameraSource:
    """Where a group's intrinsics come from: a calibration file, or numbers that wait for the image's size."""

    calibration: str | None = None
    """A path, file:// or package://, with #NAME behind it for one of several cameras."""
    intrinsics: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy in pixels."""
    focal_px: float | None = None
    hfov_deg: float | None = None

    def camera_for(self, width: int, height: int, *, image: Path) -> Camera:
        """Return the camera of `image`, which has this size; DataError when the two do not fit."""
        try:
            if self.calibration is not None:
                whose = f"the camera of {self.calibration}"
                return fit_camera(read_calibration(self.calibration), width, height, scale=False, whose=whose)
            if self.intrinsics is not None:
                fx, fy, cx, cy = self.intrinsics
                return Camera(width, height, fx, fy, cx, cy)
            if self.focal_px is not None:
                return Camera.from_focal(width, height, focal_px=self.focal_px)
            if self.hfov_deg is not None:
                return Camera.from_hfov(width, height, hfov_deg=self.hfov_deg)
        except CameraError as error:
            raise DataError(f"{image}: {error}") from error
        raise DataError(f"{image}: no intrinsics are known; give `camera` in {INDEX_NAME}, or --camera or --focal")


@dataclass(frozen=True)
class Group:
    """Images of one camera: how their files are named, the depth's unit and the intrinsics."""

    name: str
    rgb: str
    """Pattern, relative to the folder, with at least one `*` unless the group is one image."""
    depth: str
    """The same place's depth file; each `*` stands for what the `*` of the same rank in `rgb` matched."""
    normals: str | None
    depth_units_per_metre: float | None
    camera: CameraSource
    max_depth_m: float = math.inf
    poses: Path | None = None
    """A file with a line for each image."""


@dataclass(frozen=True)
class LabelledFolder:
    """A folder of images with measured depth."""

    root: Path
    groups: tuple[Group, ...]
    rendered: bool = False
    """This package has rendered the images."""

    def __len__(self) -> int:
        return sum(len(self._images(group)) for group in self.groups)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples, group by group in natural order; DataError names the first file that does not fit."""
        for group in self.groups:
            images = self._images(group)
            poses = self._poses(group, len(images))
            for (image, stars), pose in zip(images, poses, strict=True):
                yield self._read(group, image, stars, pose)

    def check(self) -> None:
        """Raise DataError if a group has no image, or an image no depth file, before any time is spent on inference."""
        for group in self.groups:
            shown = f"{shorten(group.rgb, 80)} (group {shorten(group.name, 40)})"
            images = self._images(group)
            if not images:
                raise DataError(f"{self.root} holds no image {shown}; correct the pattern")
            self._poses(group, len(images))
            for image, stars in images:
                for what, pattern in (("depth", group.depth), ("normals", group.normals)):
                    path = self._beside(pattern, stars)
                    if path is not None and not os.path.isfile(path):
                        raise DataError(
                            f"{image} has no {what}: there is no file {shorten(str(path))} (pattern "
                            f"{shorten(str(pattern), 80)})"
                        )

    def doubts(self) -> Iterator[str]:
        """Yield, in one line each, what is doubtful about the calibrations, and what is assumed of the depth's unit."""
        for group in self.groups:
            if group.camera.calibration is not None:
                calibration = read_calibration_file(group.camera.calibration)
                yield from (f"{calibration.source}: {finding}" for finding in check_camera_info(calibration))
            if group.depth_units_per_metre is None and Path(group.depth).suffix.lower() in PICTURE_SUFFIXES:
                yield (
                    f"group {group.name}: nothing tells the unit of {group.depth}: integers are read as millimetres "
                    f"({MILLIMETRES:g} units per metre); state depth_units_per_metre, or --depth-scale"
                )

    def _images(self, group: Group) -> list[tuple[Path, tuple[str, ...]]]:
        named = re.compile("([^/]*)".join(re.escape(part) for part in group.rgb.split("*")))
        found = []
        with one_line_about(shorten(f"{self.root}/{group.rgb}"), DataError, what="pattern", remedy=_EXPECTED_PATTERN):
            for path in sorted(self.root.glob(group.rgb), key=natural_order):
                match = named.fullmatch(path.relative_to(self.root).as_posix())
                if match and path.suffix.lower() in IMAGE_SUFFIXES:
                    found.append((path, match.groups()))
        return found

    def _poses(self, group: Group, count: int) -> Sequence[Pose | None]:
        """Return the pose of each of a group's `count` images."""
        if group.poses is None:
            return [None] * count
        poses = read_poses(group.poses)
        if len(poses) != count:
            raise DataError(
                f"{group.poses} has {len(poses)} poses, but group {shorten(group.name, 40)} has {count} images; "
                "expected a line for each image, in the order of their names"
            )
        return poses

    def _beside(self, pattern: str | None, stars: tuple[str, ...]) -> Path | None:
        if pattern is None:
            return None
        parts = pattern.split("*")
        return self.root / (parts[0] + "".join(star + part for star, part in zip(stars, parts[1:], strict=False)))

    def _read(self, group: Group, image: Path, stars: tuple[str, ...], pose: Pose | None) -> Sample:
        rgb = read_rgb(image)
        height, width = rgb.shape[:2]
        depth_path, normals_path = self._beside(group.depth, stars), self._beside(group.normals, stars)
        assert depth_path is not None
        true_depth_m = read_depth(depth_path, units_per_metre=group.depth_units_per_metre)
        _check_size(image, (height, width), depth_path, true_depth_m.shape)
        true_normals = None
        if normals_path is not None:
            true_normals = read_normals(normals_path)
            _check_size(image, (height, width), normals_path, true_normals.shape[:2])
        return Sample(
            name=image.relative_to(self.root).as_posix(),
            group=group.name,
            rgb=rgb,
            camera=group.camera.camera_for(width, height, image=image),
            true_depth_m=true_depth_m,
            true_normals=true_normals,
            max_depth_m=group.max_depth_m,
            world_from_camera=pose,
        )


def open_folder(path: str | Path) -> LabelledFolder:
    """Open a folder with a dataset.yaml in it, or a YAML of that format anywhere; raises DataError with the remedy."""
    path = user_path(path)
    index = path / INDEX_NAME if path.is_dir() else path
    if path.is_dir() and not index.is_file():
        raise DataError(
            f"{path} has no {INDEX_NAME}; write one (docs/evaluate.md shows it), "
            "or name depth and intrinsics with --depth and --camera or --focal"
        )
    if not index.is_file():
        raise DataError(f"there is no folder or {INDEX_NAME} at {path}; leave it out to evaluate rendered scenes")
    content = read_mapping(index, what="a description of images with depth")
    with one_line_about(index, DataError, what=INDEX_NAME, remedy="docs/evaluate.md shows one"):
        return _parse_index(index, content)


def _parse_index(index: Path, content: Mapping[str, Any]) -> LabelledFolder:
    _refuse_unknown(index, "the file", content, {"folder", "groups", "rendered"})
    root = index.parent / user_path(str(content.get("folder", ".")))
    if not os.path.isdir(root):
        raise DataError(f"{index}: folder is {shorten(str(root))}, which does not exist")
    groups = content.get("groups")
    if not isinstance(groups, list) or not groups:
        raise DataError(
            f"{index}: groups is {excerpt(groups)}, expected a list with rgb, depth and camera for each camera"
        )
    rendered = content.get("rendered", False)
    if not isinstance(rendered, bool):
        raise DataError(f"{index}: rendered is {excerpt(rendered)}, expected true or false")
    parsed = tuple(_parse_group(index, root, entry, rank) for rank, entry in enumerate(groups, 1))
    return LabelledFolder(root, parsed, rendered=rendered)


def _parse_group(index: Path, root: Path, entry: Any, rank: int) -> Group:
    where = f"group {rank}"
    if not isinstance(entry, Mapping):
        raise DataError(f"{index}: {where} is {excerpt(entry)}, expected a mapping with rgb, depth and camera")
    _refuse_unknown(index, where, entry, _GROUP_KEYS)
    for key in ("rgb", "depth"):
        _check_pattern(index, where, key, entry.get(key))
    normals = entry.get("normals")
    if normals is not None:
        _check_pattern(index, where, "normals", normals)
    poses = entry.get("poses")
    if poses is not None:
        if not isinstance(poses, str) or not poses.isprintable() or not poses:
            raise DataError(f"{index}: {where} has poses {excerpt(poses)}, expected the path of a file")
        poses = root / user_path(poses)
    units = entry.get("depth_units_per_metre")
    return Group(
        name=shorten(str(entry.get("name", rank)), 80),
        rgb=entry["rgb"],
        depth=entry["depth"],
        normals=normals,
        depth_units_per_metre=None if units is None else _positive(index, where, "depth_units_per_metre", units),
        camera=_parse_camera(index, where, entry.get("camera")),
        max_depth_m=_positive(index, where, "max_depth_m", entry.get("max_depth_m", math.inf)),
        poses=poses,
    )


def _check_pattern(index: Path, where: str, key: str, value: Any) -> None:
    is_pattern = isinstance(value, str) and value and not Path(value).is_absolute()
    if not is_pattern or len(value) > _MOST_LETTERS or value.count("*") > _MOST_STARS or not value.isprintable():
        got = "missing" if value is None else excerpt(value)
        raise DataError(f"{index}: {where} has {key} {got}, expected a pattern relative to the folder, as *_{key}.png")


def _parse_camera(index: Path, where: str, entry: Any) -> CameraSource:
    if isinstance(entry, str):
        return CameraSource(calibration=entry if "://" in entry else str(index.parent / user_path(entry)))
    keys = set(entry) if isinstance(entry, Mapping) else set()
    if keys not in _CAMERA_KEYS:
        got = "missing" if entry is None else excerpt(entry)
        raise DataError(
            f"{index}: {where} has camera {got}; expected {{fx, fy, cx, cy}} or {{focal_px}} in pixels, {{hfov_deg}}, "
            "or the path of a calibration file"
        )
    numbers = {key: _positive(index, where, f"camera.{key}", entry[key]) for key in keys}
    if "fx" in numbers:
        return CameraSource(intrinsics=(numbers["fx"], numbers["fy"], numbers["cx"], numbers["cy"]))
    return CameraSource(focal_px=numbers.get("focal_px"), hfov_deg=numbers.get("hfov_deg"))


def _positive(index: Path, where: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise DataError(f"{index}: {where} has {key} = {excerpt(value)}, expected a number above 0")
    return float(value)


def _refuse_unknown(index: Path, where: str, entry: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(str(key) for key in entry if key not in known)
    if unknown:
        raise DataError(f"{index}: {where} has {some(unknown)}; expected only {', '.join(sorted(known))}")


def _check_size(image: Path, size_hw: tuple[int, int], other: Path, other_hw: tuple[int, ...]) -> None:
    if tuple(other_hw) != size_hw:
        raise DataError(
            f"{other} is {other_hw[1]}x{other_hw[0]}, but its image {image} is {size_hw[1]}x{size_hw[0]}; "
            "expected the same size"
        )
