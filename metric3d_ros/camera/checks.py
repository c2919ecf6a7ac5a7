"""Checks a calibration by its numbers: each finding has the numbers, the likely cause and the remedy.

Crops, shifted lenses and extreme lenses exist, so a finding is a warning. Whatever is impossible is a CameraError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metric3d_ros.camera.camera import Camera
from metric3d_ros.camera.lenses.names import is_equidistant, is_unbent_equidistant, is_unnamed_polynomial

# In units of the image's size. Real lenses stay below 0.1; that of half a resolution is 0.25 off.
_FAR_OFF = 0.2
# A fisheye draws a circle that may lie anywhere in the image: one of two circles side by side is 0.25 off.
_FISHEYE_FAR_OFF = 0.3
# How well the ratio of principal point and centre must agree between x and y, and how far from 1 it must be, for K to
# be that of the same picture in another size.
_SAME_RATIO = 0.08
_OTHER_SIZE = 0.15
_CENTRAL = 0.12
_NARROWEST_DEG = 2.0
_WIDEST_DEG, _WIDEST_FISHEYE_DEG = 140.0, 250.0
# A squeezed image looks wrong to the network. Fisheyes are shown to it through views with square pixels.
_MOST_ANISOTROPY, _MOST_FISHEYE_ANISOTROPY = 1.2, 2.0
_SAME = 0.01
_LEAST_P_TO_K, _MOST_P_TO_K = 0.3, 2.0
# What a polynomial lens does not cover was not calibrated. A fisheye's circle may leave most of the image black; its
# model is wrong if it ends before the circle does.
_MOST_WITHOUT_RAY, _MOST_FISHEYE_WITHOUT_RAY, _LEAST_FISHEYE_END_DEG = 0.2, 0.5, 80.0


@dataclass(frozen=True)
class Finding:
    """Something doubtful: what, with its numbers; the likely cause; what to do about it."""

    problem: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.cause}; {self.remedy}"


@dataclass(frozen=True)
class _Pinhole:
    """One of the matrices K and P, for the calibrated size."""

    name: str
    fx: float
    fy: float
    cx: float
    cy: float


def check_camera_info(info: Any, *, rectified: bool = False) -> list[Finding]:
    """Return what is doubtful about a sensor_msgs/CameraInfo, or anything with its fields.

    `rectified` is as in Camera.from_camera_info, whose CameraError is raised for what is impossible.
    """
    camera = Camera.from_camera_info(info, rectified=rectified)
    k, p = [float(value) for value in info.k], [float(value) for value in info.p]
    of_k = _Pinhole("K", k[0], k[4], k[2], k[5])
    of_p = _Pinhole("P", p[0], p[5], p[2], p[6]) if p[0] else None
    used = of_p if rectified and of_p else of_k
    return [
        *_check_centre(used, info, camera, transposed=used is of_k and bool(k[6] or k[7]) and not (k[2] or k[5])),
        *_check_field_of_view(camera),
        *_check_pixels(used, camera),
        *_check_shape_of_k(k),
        *_check_k_and_p(of_k, of_p, info, used=used, is_fisheye=is_equidistant(str(info.distortion_model))),
        *_check_lens(info, camera, rectified=rectified, has_p=of_p is not None),
    ]


def check_camera(camera: Camera) -> list[Finding]:
    """Return what is doubtful about a camera that is described by numbers alone."""
    used = _Pinhole("the camera matrix", camera.fx, camera.fy, camera.cx, camera.cy)
    return [
        *_check_centre(used, camera, camera),
        *_check_field_of_view(camera),
        *_check_pixels(used, camera),
        *_check_rays(camera),
    ]


def _check_centre(used: _Pinhole, info: Any, camera: Camera, *, transposed: bool = False) -> Iterator[Finding]:
    """Compare the principal point with the centre of the calibrated size, before region of interest and binning."""
    width, height = int(info.width), int(info.height)
    off_x, off_y = (used.cx + 0.5) / width - 0.5, (used.cy + 0.5) / height - 0.5
    ratio_x, ratio_y = 2 * off_x + 1, 2 * off_y + 1
    ratio = (ratio_x + ratio_y) / 2
    is_other_size = (
        min(ratio_x, ratio_y) > 0 and abs(ratio_x - ratio_y) < _SAME_RATIO * ratio and abs(ratio - 1) > _OTHER_SIZE
    )
    is_turned = width != height and _is_central(used, height, width) and not _is_central(used, width, height)
    far_off = _FISHEYE_FAR_OFF if camera.is_fisheye else _FAR_OFF
    if max(abs(off_x), abs(off_y)) <= far_off and not is_other_size and not is_turned:
        return
    problem = (
        f"the principal point ({used.cx:.4g}, {used.cy:.4g}) of {used.name} is {abs(off_x):.0%} of the width and "
        f"{abs(off_y):.0%} of the height off the centre of the calibrated {width}x{height}"
    )
    remains = (camera.width, camera.height)
    if transposed:
        cause = "K is stored column by column, so that cx and cy stand in its last row"
        remedy = "publish K row by row: fx 0 cx 0 fy cy 0 0 1"
    elif remains != (width, height) and _is_central(used, *remains):
        what = _name_reductions(info)
        cause = f"{used.name} is already that of the {remains[0]}x{remains[1]} image, so that {what} is applied twice"
        remedy = f"publish K, P and size of the full resolution, or {remains[0]}x{remains[1]} with roi and binning of 0"
    elif is_turned:
        cause = f"{used.name} is that of a {height}x{width} image, turned by 90 degrees"
        remedy = "calibrate with the images as they are published, or publish them as they were calibrated"
    elif is_other_size:
        cause = (
            f"{used.name} is that of another size, about {2 * used.cx + 1:.0f}x{2 * used.cy + 1:.0f}, which makes "
            f"depth wrong by a factor of about {ratio:.3g}"
        )
        remedy = f"publish {used.name} of {width}x{height} (multiplied by {1 / ratio:.3g}), or the size that it is of"
    else:
        cause = (
            f"the image is a crop that roi does not state, {used.name} is that of another image, or the lens is shifted"
        )
        remedy = "check that fx is that of the published image; state a crop in roi, or calibrate again"
    yield Finding(problem, cause, remedy)


def _is_central(used: _Pinhole, width: int, height: int) -> bool:
    off_x, off_y = (used.cx + 0.5) / width - 0.5, (used.cy + 0.5) / height - 0.5
    return max(abs(off_x), abs(off_y)) < _CENTRAL


def _name_reductions(info: Any) -> str:
    binning = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
    names = []
    if int(info.roi.width) or int(info.roi.height):
        names.append(f"roi ({info.roi.width}x{info.roi.height} at {info.roi.x_offset}, {info.roi.y_offset})")
    if binning != (1, 1):
        names.append(f"binning ({binning[0]}x{binning[1]})")
    return " and ".join(names)


def _check_field_of_view(camera: Camera) -> Iterator[Finding]:
    widest = _WIDEST_FISHEYE_DEG if camera.is_fisheye else _WIDEST_DEG
    angles = []
    for side, focal in ((camera.width, camera.fx), (camera.height, camera.fy)):
        half = side / 2 / focal
        angles.append(math.degrees(2 * half if camera.is_fisheye else 2 * math.atan(half)))
    # A fisheye's circle may fill the shorter side only.
    widest_seen = min(angles) if camera.is_fisheye else max(angles)
    if max(angles) >= _NARROWEST_DEG and widest_seen <= widest:
        return
    kind = camera.distortion_model or "undistorted"
    problem = (
        f"the field of view is {angles[0]:.3g} x {angles[1]:.3g} degrees (fx {camera.fx:.4g}, fy {camera.fy:.4g} px "
        f"for {camera.width}x{camera.height}), while ordinary {kind} lenses have {_NARROWEST_DEG:g} to {widest:g}"
    )
    if widest_seen > widest:
        cause = "the focal length is that of a smaller image, not in pixels, or a placeholder"
    else:
        cause = "the focal length is that of a larger image, such as the sensor's full resolution, or not in pixels"
    yield Finding(problem, cause, "publish the focal length in pixels of the published image")


def _check_pixels(used: _Pinhole, camera: Camera) -> Iterator[Finding]:
    ratio = used.fx / used.fy
    most = _MOST_FISHEYE_ANISOTROPY if camera.is_fisheye else _MOST_ANISOTROPY
    if 1 / most <= ratio <= most:
        return
    yield Finding(
        f"the focal lengths fx {used.fx:.4g} and fy {used.fy:.4g} px differ by a factor of {max(ratio, 1 / ratio):.3g}",
        "the image was squeezed in one direction, or the two are from different calibrations",
        "resize images with the same factor in both directions, and calibrate again if they were not resized",
    )


def _check_shape_of_k(k: list[float]) -> Iterator[Finding]:
    if abs(k[1]) > _SAME * k[0]:
        yield Finding(
            f"K has a skew of {k[1]:.4g} px",
            "the calibration modelled pixels that are not rectangular, which camera_info's users ignore",
            "calibrate again without skew",
        )


def _check_k_and_p(
    k: _Pinhole, p: _Pinhole | None, info: Any, *, used: _Pinhole, is_fisheye: bool
) -> Iterator[Finding]:
    if p is None or k.fx <= 0 or k.fy <= 0:
        return
    numbers = (
        f"K has fx, fy, cx, cy of {k.fx:.4g}, {k.fy:.4g}, {k.cx:.4g}, {k.cy:.4g}, P {p.fx:.4g}, {p.fy:.4g}, "
        f"{p.cx:.4g}, {p.cy:.4g} px"
    )
    ratio_x, ratio_y = p.fx / k.fx, p.fy / k.fy
    of_centre = _divide(p.cx + 0.5, k.cx + 0.5), _divide(p.cy + 0.5, k.cy + 0.5)
    same_ratio = max(ratio_x, ratio_y, *of_centre) - min(ratio_x, ratio_y, *of_centre) < _SAME_RATIO * abs(ratio_x)
    advice = f"{used.name} is used; correct the other one, or both if {used.name} is the wrong one"
    if same_ratio and abs(ratio_x - 1) > _OTHER_SIZE:
        yield Finding(f"{numbers}", f"one of them is of another image size ({ratio_x:.3g} times)", advice)
        return
    off = max(abs(ratio_x - 1), abs(ratio_y - 1), abs(p.cx - k.cx) / info.width, abs(p.cy - k.cy) / info.height)
    perfect = not any(info.d) and not is_unbent_equidistant(str(info.distortion_model), list(info.d))
    if perfect and _is_unit(info) and off > _SAME:
        cause = "D is 0 and R the unit matrix, so that nothing was rectified and both should be equal"
        yield Finding(numbers, cause, advice)
    elif not is_fisheye and not _LEAST_P_TO_K <= min(ratio_x, ratio_y) <= max(ratio_x, ratio_y) <= _MOST_P_TO_K:
        yield Finding(numbers, "rectifying a lens changes the focal length by less than that", advice)


def _divide(above: float, below: float) -> float:
    return above / below if below else math.inf


def _is_unit(info: Any) -> bool:
    r = [float(value) for value in getattr(info, "r", [])]
    unit = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    return not any(r) or max(abs(a - b) for a, b in zip(r, unit, strict=False)) < 1e-3


def _check_lens(info: Any, camera: Camera, *, rectified: bool, has_p: bool) -> Iterator[Finding]:
    d = [float(value) for value in info.d]
    if not rectified and is_unnamed_polynomial(str(info.distortion_model), d):
        yield Finding(
            f"D has {len(d)} coefficients, but distortion_model is empty",
            f"the driver or file leaves it out; they are read as {camera.distortion_model}, which alone has so many",
            "set distortion_model in the calibration",
        )
    if not rectified and is_unbent_equidistant(str(info.distortion_model), d):
        yield Finding(
            f"distortion_model is {info.distortion_model}, but D is {'all 0' if d else 'empty'}",
            "taken for a fisheye lens with r = f theta, as OpenCV does, while image_geometry takes it for a pinhole; a "
            "driver may leave it so for rectified images",
            "for rectified images set distortion_model to plumb_bob, or parameter rectified to true; else calibrate",
        )
    if rectified and not has_p and any(d):
        yield Finding(
            "the images are rectified, but P is 0",
            "the calibration does not state P; K is used, which is that of the raw images",
            "publish P with the rectified images, or subscribe to the raw ones",
        )
    yield from _check_rays(camera)


def _check_rays(camera: Camera) -> Iterator[Finding]:
    share, lens = camera.share_without_ray(), camera.lens
    if lens is None or share <= (_MOST_FISHEYE_WITHOUT_RAY if camera.is_fisheye else _MOST_WITHOUT_RAY):
        return
    if camera.is_fisheye and lens.widest_deg >= _LEAST_FISHEYE_END_DEG:
        return
    yield Finding(
        f"{share:.0%} of the image has no ray: the {camera.distortion_model} model with D "
        f"{[float(f'{value:.4g}') for value in camera.distortion]} ends {lens.widest_deg:.3g} degrees off the axis",
        "D or K is of another image, or the calibration saw nothing near the image's edges",
        "calibrate again with the pattern in every corner; points there are NaN",
    )
