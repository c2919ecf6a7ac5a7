"""Lens models under the names that drivers and calibration tools give them, with the coefficients in one form."""

import math
import re
from collections.abc import Mapping, Sequence

from metric3d_ros.errors import CameraError
from metric3d_ros.files.excerpts import shorten

PLUMB_BOB, RATIONAL, EQUIDISTANT = "plumb_bob", "rational_polynomial", "equidistant"

_POLYNOMIAL_NAMES = {
    "plumb_bob": ("plumbbob", "perspective", "pinhole", "standard"),
    "radtan": ("radial_tangential", "radialtangential", "pinhole_radtan"),
    "rational_polynomial": ("rational", "rational_radial", "polynomial"),
    "brown_conrady": ("brown", "brownconrady"),
    "opencv": ("full_opencv",),
}
"""Names of the polynomial model, each with its variants."""
_EQUIDISTANT_NAMES = {
    "equidistant": ("equidist", "equi", "pinhole_equi", "pinhole_equidistant"),
    "fisheye": ("opencv_fisheye",),
    "kannala_brandt": ("kannalabrandt", "kannala_brandt4", "kannalabrandt4", "kannala_brandt8", "kannalabrandt8"),
    "kb": ("kb4", "kannala"),
}
"""Names of the equidistant model, each with its variants."""
_NOT_A_PINHOLE = re.compile(
    r"fish_?eye|equi_?solid|equi_?rect|stereographic|orthographic|spheric|f_?theta|scaramuzza|ocam"
)
"""What names of projections contain that are no pinhole even if all their coefficients are 0."""
_NO_LENS_NAMES = frozenset({"", "none", "no_distortion", "undistorted", "rectified", "ideal"})
# Brown's model with the tangential part computed from coordinates that are distorted already (librealsense).
_MODIFIED_BROWN = frozenset({"modified_brown_conrady", "modifiedbrownconrady"})

_LENGTHS = {PLUMB_BOB: (4, 5), RATIONAL: (8, 12, 14), EQUIDISTANT: (4,)}
"""How many coefficients other programs expect of each model."""
_UNNAMED_POLYNOMIAL_LENGTHS = (5, 8, 12, 14)
"""What OpenCV's calibration of a polynomial lens gives; of a fisheye lens it gives 4."""
# The strongest real ones are those of long lenses: radial ones below a million, of odd powers below 1.
_MOST, _MOST_ODD = 1e12, 100.0
_ODD = (2, 3, 8, 10)
"""Where p1, p2, s1 and s3 stand, which multiply a power of the radius that is one higher than that of the point."""
_MOST_TILT_RAD = 1.5

_KNOWN = f"{PLUMB_BOB} (radtan), {RATIONAL} or {EQUIDISTANT} (fisheye, kannala_brandt)"
_RECTIFY = "rectify the images first and use their rectified topic"


def read_lens(name: str, coefficients: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """Return the model as plumb_bob, rational_polynomial or equidistant, or "", with 4, 5, 8, 12 or 14 coefficients.

    Aliases of a name, zeros at the end and other numbers of coefficients are taken where they mean the same; an unnamed
    model is the polynomial one where it has more coefficients than any other. Without a coefficient that is not 0 a
    polynomial lens is a perfect one, ("", ()); an equidistant one is r = f theta, as in OpenCV.

    Raises CameraError for a model that is not known and for coefficients that could mean several things.
    """
    plain = _plain(name)
    name = shorten(name, 60)  # as messages show it
    if not any(coefficients):
        if _is_among(plain, _EQUIDISTANT_NAMES):
            return EQUIDISTANT, (0.0,) * 4
        if _NOT_A_PINHOLE.search(plain):
            raise CameraError(_explain_unknown(name, plain, tuple(map(float, coefficients)) or (0.0,)))
        return "", ()
    values = tuple(float(value) for value in coefficients)
    count = max(index for index, value in enumerate(values, 1) if value)
    is_brown = plain in _MODIFIED_BROWN and not any(values[2:4])
    if _is_among(plain, _EQUIDISTANT_NAMES):
        model = _read_equidistant(name, values, count)
    elif _is_among(plain, _POLYNOMIAL_NAMES) or is_brown or is_unnamed_polynomial(name, values):
        model = _read_polynomial(name, values, count)
    else:
        raise CameraError(_explain_unknown(name, plain, values))
    _check_numbers(*model)
    return model


def is_unnamed_polynomial(name: str, coefficients: Sequence[float]) -> bool:
    """Whether a lens without a name is taken for a polynomial one: it has as many coefficients as those have."""
    return not name.strip() and any(coefficients) and len(coefficients) in _UNNAMED_POLYNOMIAL_LENGTHS


def is_equidistant(name: str) -> bool:
    """Return whether a distortion model is the equidistant (fisheye) one, by any of its names."""
    return _is_among(_plain(name), _EQUIDISTANT_NAMES)


def is_unbent_equidistant(name: str, coefficients: Sequence[float]) -> bool:
    """Whether a lens is named equidistant, and none of its coefficients is given or other than 0."""
    return is_equidistant(name) and not any(coefficients)


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _is_among(plain: str, names: Mapping[str, Sequence[str]]) -> bool:
    return plain in names or any(plain in variants for variants in names.values())


def _read_equidistant(name: str, values: tuple[float, ...], count: int) -> tuple[str, tuple[float, ...]]:
    if count > 4 or len(values) < 4:
        raise CameraError(
            f"{name} distortion has {_count(values, count)}, expected 4; correct D in the camera_info, "
            f"or name the model that has so many ({RATIONAL})"
        )
    return EQUIDISTANT, values[:4]


def _read_polynomial(name: str, values: tuple[float, ...], count: int) -> tuple[str, tuple[float, ...]]:
    if len(values) < 4 or count > 14:
        raise CameraError(
            f"{name or 'unnamed'} distortion has {_count(values, count)}, expected 4 to 14 "
            "(k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tx ty); correct D in the camera_info"
        )
    model = PLUMB_BOB if count <= 5 else RATIONAL
    if len(values) in _LENGTHS[model]:
        return model, values
    length = next(length for length in _LENGTHS[model] if length >= min(max(count, 5), 14))
    return model, (*values, *(0.0,) * length)[:length]


def _count(values: tuple[float, ...], count: int) -> str:
    if len(values) < 4 or count == len(values):
        return f"{len(values)} coefficients"
    return f"{len(values)} coefficients, of which the first {count} are not all 0"


def _explain_unknown(name: str, plain: str, values: tuple[float, ...]) -> str:
    if plain == "":
        return (
            f"the distortion model has no name but {len(values)} coefficients, which {PLUMB_BOB} and {EQUIDISTANT} "
            f"read differently; name distortion_model: {_KNOWN}"
        )
    if plain in _NO_LENS_NAMES:
        return (
            f"distortion model '{name}' means none, but D is not 0 ({values[0]:g}, ...); set D to zeros, or name the "
            f"model: {_KNOWN}"
        )
    if plain in _MODIFIED_BROWN:
        return f"distortion model '{name}' differs from {PLUMB_BOB} where p1 or p2 is not 0; {_RECTIFY}"
    return f"distortion model '{name}' is not known, expected one of {_KNOWN}; {_RECTIFY}"


def _check_numbers(model: str, values: tuple[float, ...]) -> None:
    tilts = values[12:] if model == RATIONAL else ()
    odd = _ODD if model != EQUIDISTANT else ()
    for index, value in enumerate(values):
        most = _MOST_ODD if index in odd else _MOST
        if not (math.isfinite(value) and abs(value) <= most):
            raise CameraError(
                f"distortion coefficient {index + 1} of {len(values)} is {value:g}, which no lens has, expected a "
                f"finite number below {most:g}; correct D in the camera_info"
            )
    if any(abs(tilt) > _MOST_TILT_RAD for tilt in tilts):
        raise CameraError(
            f"the sensor's tilt in D is {tilts[0]:g}, {tilts[1]:g} radians, expected less than {_MOST_TILT_RAD:g}; "
            "correct the last two numbers of D in the camera_info"
        )
