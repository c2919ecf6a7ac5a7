"""Camera calibrations as files: camera_calibration's YAML and ost.txt, OpenCV's YAML and XML, Kalibr's camchain."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration import names
from metric3d_ros.camera.calibration.names import NamedValues
from metric3d_ros.camera.calibration.text import INI_FORMAT, read_calibration_text
from metric3d_ros.camera.calibration.urls import resolve_calibration
from metric3d_ros.camera.lenses.names import EQUIDISTANT, PLUMB_BOB, RATIONAL
from metric3d_ros.errors import CameraError, DataError
from metric3d_ros.files.atomic import write_text
from metric3d_ros.files.boundary import one_line_about
from metric3d_ros.files.excerpts import excerpt, some

_NO_P = (0.0,) * 12
_UNIT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Region:
    """A region of interest, as sensor_msgs/RegionOfInterest describes it; zeros: the whole image."""

    x_offset: int = 0
    y_offset: int = 0
    height: int = 0
    width: int = 0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The content of a calibration file, in the fields of sensor_msgs/CameraInfo."""

    source: str
    """The file, and which of its cameras."""
    width: int
    height: int
    distortion_model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...] = _UNIT
    p: tuple[float, ...] = _NO_P
    binning_x: int = 0
    binning_y: int = 0
    roi: Region = field(default_factory=Region)

    def camera(self, *, rectified: bool = False) -> Camera:
        """Return the camera of the raw images, or of the rectified ones; DataError if the numbers make none."""
        try:
            return Camera.from_camera_info(self, rectified=rectified)
        except CameraError as error:
            raise DataError(f"{self.source}: {error}") from error


def read_calibration(url: str | Path, *, camera_name: str = "") -> Camera:
    """Read the camera of the raw images from a calibration file; see `read_calibration_file`."""
    return read_calibration_file(url, camera_name=camera_name).camera()


def read_calibration_file(url: str | Path, *, camera_name: str = "") -> Calibration:
    """Read a calibration: a YAML of camera_calibration, OpenCV, Kalibr or `ros2 topic echo`, an XML of OpenCV, an INI.

    `url` is as `resolve_calibration` takes it. Size and camera matrix must be there, under any of their common names,
    and the lens model unless its number of coefficients tells it. Of a file with several cameras the one after #, the
    one that is called `camera_name`, or the only one is taken.

    Raises DataError when the file cannot be read, misses something, or its numbers make no camera.
    """
    path, wanted = resolve_calibration(url, camera_name=camera_name)
    content = read_calibration_text(path)
    with one_line_about(path, DataError, what="calibration", remedy="calibrate the camera again, or mend the file"):
        return _read_camera(path, content, wanted=wanted, camera_name=camera_name)


def _read_camera(path: Path, content: Mapping[str, Any], *, wanted: str, camera_name: str) -> Calibration:
    cameras = dict(_cameras_of(content))
    where = str(path)
    if cameras:
        chosen = _choose(where, cameras, wanted=wanted, camera_name=camera_name)
        where, content = f"{path}#{chosen}", cameras[chosen]
    elif wanted:
        raise DataError(f"{path} describes one camera, and #{wanted} names one of several: leave it out")
    calibration = _to_calibration(where, content)
    calibration.camera()
    return calibration


def _cameras_of(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the cameras of a file with a mapping for each (Kalibr), or with numbered matrices (OpenCV's stereo)."""
    for name, inner in content.items():
        if isinstance(inner, Mapping) and "data" not in inner and NamedValues("", inner).find(names.MATRIX) is not None:
            yield str(name), inner
    for number in ("1", "2"):
        values = {short: content.get(f"{short}{number}") for short in ("M", "K", "D", "cameraMatrix", "distCoeffs")}
        if values["M"] or values["K"] or values["cameraMatrix"]:
            kept = {name: value for name, value in content.items() if not str(name)[-1:].isdigit()}
            matrix = values["M"] or values["K"] or values["cameraMatrix"]
            for shared in ("R", "T", "P"):
                kept.pop(shared, None)
            yield (
                number,
                {**kept, "camera_matrix": matrix, "distortion_coefficients": values["D"] or values["distCoeffs"]},
            )


def _choose(where: str, cameras: Mapping[str, Mapping[str, Any]], *, wanted: str, camera_name: str) -> str:
    if wanted:
        if wanted not in cameras:
            raise DataError(f"{where} has no camera '{wanted}', expected one of {some(cameras)}")
        return wanted
    if len(cameras) == 1:
        return next(iter(cameras))
    if camera_name:
        called = [name for name, values in cameras.items() if camera_name in (name, *_topic_parts(values))]
        if len(called) == 1:
            return called[0]
    raise DataError(
        f"{where} describes {len(cameras)} cameras ({some(cameras)}); write # and a name behind it, as in "
        f"{where}#{some([next(iter(cameras))])}"
    )


def _topic_parts(values: Mapping[str, Any]) -> list[str]:
    return str(values.get("rostopic", "")).split("/")


def _to_calibration(where: str, content: Mapping[str, Any]) -> Calibration:
    values = NamedValues(where, content)
    width, height = values.size_wh()
    k = values.matrix()
    if k[0] == 0:
        raise DataError(f"{where}: camera_matrix starts with 0, which means uncalibrated; calibrate the camera first")
    projection = values.text(names.CAMERA_MODEL)
    if projection is not None and projection.lower() != "pinhole":
        raise DataError(
            f"{where}: camera_model is {excerpt(projection)}, expected pinhole: calibrate as pinhole-radtan or "
            "pinhole-equi, or rectify the images first"
        )
    model = values.text(names.MODEL)
    is_fisheye = values.flag(names.FISHEYE)
    if model is None and is_fisheye is not None:
        model = EQUIDISTANT if is_fisheye else PLUMB_BOB
    d = values.distortion(is_fisheye=is_fisheye or "kannala" in (model or "").lower())
    if model is None and content.get(INI_FORMAT):
        # The format is made for plumb_bob; camera_calibration writes others too, without naming them.
        model = {5: PLUMB_BOB, 8: RATIONAL}.get(len(d))
        if model is None and any(d):
            raise DataError(
                f"{where} has {len(d)} coefficients and cannot name their lens model: use the ost.yaml beside it"
            )
    p = values.numbers(names.PROJECTION) or _NO_P
    if len(p) == 9:
        p = (*p[:3], 0.0, *p[3:6], 0.0, *p[6:], 0.0)
    r = values.numbers(names.RECTIFICATION) or _UNIT
    for name, numbers, count in (("projection_matrix", p, 12), ("rectification_matrix", r, 9)):
        if len(numbers) != count:
            raise DataError(f"{where}: {name} has {len(numbers)} numbers, expected {count}")
    return Calibration(
        source=where,
        width=width,
        height=height,
        distortion_model=model or "",
        d=d,
        k=k,
        r=r,
        p=p,
        binning_x=_count(where, content, "binning_x"),
        binning_y=_count(where, content, "binning_y"),
        roi=_region(where, content.get("roi")),
    )


def _region(where: str, roi: Any) -> Region:
    if not isinstance(roi, Mapping):
        return Region()
    return Region(*(_count(where, roi, name) for name in ("x_offset", "y_offset", "height", "width")))


def _count(where: str, content: Mapping[str, Any], name: str) -> int:
    value = content.get(name, 0)
    if not isinstance(value, int) or not 0 <= value < 2**32:
        raise DataError(f"{where}: {name} is {excerpt(value)}, expected a whole number of at least 0")
    return value


def write_calibration(path: str | Path, camera: Camera, *, camera_name: str = "camera") -> None:
    """Write `camera` as a calibration YAML that `read_calibration` and camera_info_manager read back."""
    distortion = list(camera.distortion) or [0.0] * 5
    content = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": camera_name,
        "camera_matrix": _matrix(3, [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]),
        "distortion_model": camera.distortion_model or PLUMB_BOB,
        "distortion_coefficients": _matrix(1, distortion),
        "rectification_matrix": _matrix(3, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]),
        "projection_matrix": _matrix(
            3, [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        ),
    }
    write_text(Path(path), yaml.safe_dump(content, sort_keys=False, default_flow_style=None), durable=True)


def _matrix(rows: int, data: list[float]) -> dict[str, Any]:
    return {"rows": rows, "cols": len(data) // rows, "data": [float(value) for value in data]}
