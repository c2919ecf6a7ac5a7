"""The values of a calibration under the names that camera_calibration, OpenCV, Kalibr and others give them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metric3d_ros.errors import DataError
from metric3d_ros.files.excerpts import excerpt

# The first name of each is the one that messages use. Names are compared without case, dots, dashes and underscores.
WIDTH = ("image_width", "width", "img_width", "Camera.width")
HEIGHT = ("image_height", "height", "img_height", "Camera.height")
SIZE = ("image_size", "resolution", "img_size", "image_resolution")
MATRIX = ("camera_matrix", "K", "intrinsic_matrix", "intrinsics_matrix", "mtx", "intrinsics", "intrinsic")
DISTORTION = ("distortion_coefficients", "distortion_coeffs", "dist_coeffs", "dist_coeff", "dist", "D", "distortion")
MODEL = ("distortion_model", "distortion_type", "lens_model", "Camera.type")
FISHEYE = ("fisheye_model", "fisheye", "is_fisheye")
RECTIFICATION = ("rectification_matrix", "R", "rectification")
PROJECTION = ("projection_matrix", "P", "projection")
CAMERA_MODEL = ("camera_model",)

_FOCAL_AND_CENTRE = ("fx", "fy", "cx", "cy")
_COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_FISHEYE_COEFFICIENTS = ("k1", "k2", "k3", "k4")
_PREFIXES = ("", "Camera.", "Camera1.")


class NamedValues:
    """The values of a calibration file, under any of their names; errors name the file, the value and the remedy."""

    def __init__(self, where: str, content: Mapping[str, Any]) -> None:
        self._where = where
        self._values = {_plain(str(name)): value for name, value in content.items()}

    def find(self, names: Sequence[str]) -> Any:
        """Return the value under one of `names`, None if there is none; refuse two that differ."""
        found = {name: self._values[_plain(name)] for name in names if _plain(name) in self._values}
        first, *others = found or [""]
        for other in others:
            if found[other] != found[first]:
                raise DataError(
                    f"{self._where}: {first} and {other} are both given and differ ({excerpt(found[first], 60)} "
                    f"and {excerpt(found[other], 60)}); leave out the wrong one"
                )
        return found.get(first)

    def text(self, names: Sequence[str]) -> str | None:
        """Return text; None if it is not given."""
        value = self.find(names)
        if value is not None and not isinstance(value, str):
            raise DataError(f"{self._where}: {names[0]} is {excerpt(value)}, expected a name such as plumb_bob")
        return value

    def flag(self, names: Sequence[str]) -> bool | None:
        """Return a boolean, also one that is written as a number; None if it is not given."""
        value = self.find(names)
        return None if value is None else str(value).strip().lower() in ("1", "1.0", "true", "yes")

    def numbers(self, names: Sequence[str]) -> tuple[float, ...] | None:
        """Return numbers stored as a list, as rows, or as a mapping with `data`; None if they are not given."""
        value = self.find(names)
        return None if value is None else self._to_numbers(names[0], value)

    def size_wh(self) -> tuple[int, int]:
        """Return width and height in pixels."""
        both = self.numbers(SIZE)
        if both is not None and len(both) == 2 and self.find(WIDTH) is None and self.find(HEIGHT) is None:
            return self._whole(SIZE[0], both[0]), self._whole(SIZE[0], both[1])
        return self._whole(WIDTH[0], self.find(WIDTH)), self._whole(HEIGHT[0], self.find(HEIGHT))

    def matrix(self) -> tuple[float, ...]:
        """Return K as nine numbers, row by row, from a matrix, from four numbers, or from fx, fy, cx and cy."""
        k = self.numbers(MATRIX)
        if k is None:
            k = self._together(_FOCAL_AND_CENTRE)
        if k is None:
            raise DataError(f"{self._where}: camera_matrix is missing; expected it, or intrinsics of fx, fy, cx, cy")
        if len(k) == 4:
            k = (k[0], 0.0, k[2], 0.0, k[1], k[3], 0.0, 0.0, 1.0)
        if len(k) != 9:
            raise DataError(f"{self._where}: camera_matrix has {len(k)} numbers, expected 9 (3 x 3, row by row)")
        return k

    def distortion(self, *, is_fisheye: bool) -> tuple[float, ...]:
        """Return the lens's coefficients, () if there are none."""
        d = self.numbers(DISTORTION)
        if d is None:
            d = self._together(_FISHEYE_COEFFICIENTS if is_fisheye else _COEFFICIENTS, missing=0.0)
        return d or ()

    def _together(self, names: Sequence[str], *, missing: float | None = None) -> tuple[float, ...] | None:
        """Return single numbers of these names; None if the first of them is not given."""
        for prefix in _PREFIXES:
            values = [self.find([prefix + name]) for name in names]
            if values[0] is not None:
                filled = [missing if value is None else value for value in values]
                if None in filled:
                    lacking = names[filled.index(None)]
                    raise DataError(f"{self._where}: {prefix}{names[0]} is given, but {prefix}{lacking} is missing")
                return self._to_numbers(f"{prefix}{names[0]}", filled)
        return None

    def _to_numbers(self, name: str, value: Any) -> tuple[float, ...]:
        data = value.get("data") if isinstance(value, Mapping) else value
        if not isinstance(data, list):
            raise DataError(f"{self._where}: {name} is {excerpt(data)}, expected a list of numbers (under `data:`)")
        flat = [number for row in data for number in (row if isinstance(row, list) else [row])]
        if any(isinstance(number, bool) for number in flat):
            raise DataError(f"{self._where}: {name} is {excerpt(data)}, expected numbers only")
        try:
            return tuple(float(number) for number in flat)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{self._where}: {name} is {excerpt(data)}, expected numbers only") from error

    def _whole(self, name: str, value: Any) -> int:
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        if number is None or not 1 <= number < 2**31 or number != int(number):
            got = "missing" if value is None else excerpt(value)
            raise DataError(f"{self._where}: {name} is {got}, expected a whole number of pixels above 0")
        return int(number)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
