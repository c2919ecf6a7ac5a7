"""Camera calibrations as YAML files, in the format of camera_calibration and camera_info_manager."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, DataError


def read_calibration(path: str | Path) -> Camera:
    """Read a calibration YAML: the intrinsics and lens distortion of the raw image.

    Needs image_width, image_height and camera_matrix (3 x 3: a mapping with `data`, or nine numbers); takes
    distortion_model and distortion_coefficients where given. rectification_matrix and projection_matrix describe a
    rectified image and are not used.

    Raises DataError when the file cannot be read, misses something, or its numbers make no camera.
    """
    path = Path(path)
    content = load_yaml_mapping(path, what="a calibration")
    width, height = (_positive_integer(path, content, key) for key in ("image_width", "image_height"))
    k = _numbers(path, content, "camera_matrix")
    if len(k) != 9:
        raise DataError(f"{path}: camera_matrix has {len(k)} numbers, expected 9 (3 x 3, row by row)")
    if k[0] == 0:
        raise DataError(f"{path}: camera_matrix starts with 0, which means uncalibrated; calibrate the camera first")
    distortion = _numbers(path, content, "distortion_coefficients") if "distortion_coefficients" in content else ()
    model = content.get("distortion_model", "plumb_bob" if any(distortion) else "")
    if not isinstance(model, str):
        raise DataError(f"{path}: distortion_model is {model!r}, expected a name such as plumb_bob")
    try:
        return Camera(width, height, k[0], k[4], k[2], k[5], model, distortion)
    except CameraError as error:
        raise DataError(f"{path}: {error}") from error


def write_calibration(path: str | Path, camera: Camera, *, camera_name: str = "camera") -> None:
    """Write `camera` as a calibration YAML that `read_calibration` and camera_info_manager read back."""
    distortion = list(camera.distortion) or [0.0] * 5
    content = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": camera_name,
        "camera_matrix": _matrix(3, [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]),
        "distortion_model": camera.distortion_model or "plumb_bob",
        "distortion_coefficients": _matrix(1, distortion),
        "rectification_matrix": _matrix(3, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]),
        "projection_matrix": _matrix(
            3, [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        ),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")


def load_yaml_mapping(path: Path, *, what: str) -> Mapping[str, Any]:
    """Return the mapping that a YAML file holds; DataError, naming `what` was expected, when it holds none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; expected {what} in YAML") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is no YAML that can be read ({reason}); expected {what}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds {type(content).__name__}, expected {what}: a mapping of names to values")
    return content


def _matrix(rows: int, data: list[float]) -> dict[str, Any]:
    return {"rows": rows, "cols": len(data) // rows, "data": [float(value) for value in data]}


def _positive_integer(path: Path, content: Mapping[str, Any], key: str) -> int:
    value = content.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        got = "missing" if value is None else repr(value)
        raise DataError(f"{path}: {key} is {got}, expected a whole number of pixels above 0")
    return value


def _numbers(path: Path, content: Mapping[str, Any], key: str) -> tuple[float, ...]:
    """Return the numbers under `key`, stored as a list or as a mapping with `data` (camera_calibration's way)."""
    value = content.get(key)
    if value is None:
        raise DataError(f"{path}: {key} is missing; expected a camera_calibration YAML, such as its ost.yaml")
    data = value.get("data") if isinstance(value, Mapping) else value
    if not isinstance(data, list):
        raise DataError(f"{path}: {key} is {data!r}, expected a list of numbers (under `data:`)")
    try:
        return tuple(float(number) for number in data)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {key} is {data!r}, expected numbers only") from error
