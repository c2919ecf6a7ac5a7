"""Arrays in .npy and .npz files, read within limits: a header cannot claim more memory than the file holds data."""

import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.codecs import MAX_PIXELS
from metric3d_ros.errors import DataError
from metric3d_ros.files.boundary import one_line_about
from metric3d_ros.files.excerpts import shorten, some

_MOST_BYTES = 3 * 8 * MAX_PIXELS
"""Of an array: three float64 for each pixel."""
_MOST_MEMBERS = 1000
_KINDS = "fiub"


def read_array(path: Path, name: str) -> npt.NDArray[Any]:
    """Return the array of a .npy file, or `name` (else the only array) of a .npz file; pickled objects are refused.

    Raises DataError for anything else.
    """
    with one_line_about(path, DataError, what="NumPy file", remedy="write it again"), path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            return _read_npy(path, file, os.fstat(file.fileno()).st_size)
        with zipfile.ZipFile(file) as archive:
            member = _find_member(path, archive, name)
            with archive.open(member) as inner:
                return _read_npy(path, inner, member.file_size)


def _find_member(path: Path, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()[:_MOST_MEMBERS]}
    if name not in members and len(members) != 1:
        raise DataError(f"{path} holds the arrays {some(members)}; expected one named {name}")
    return members.get(name) or next(iter(members.values()))


def _read_npy(path: Path, file: IO[bytes], size: int) -> npt.NDArray[Any]:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.kind not in _KINDS or any(length < 0 for length in shape):
        raise DataError(f"{path} is no readable NumPy file of numbers: it holds {shorten(f'{dtype} {shape}', 80)}")
    needed = math.prod(shape) * dtype.itemsize
    if needed > _MOST_BYTES:
        raise DataError(
            f"{path} has shape {shorten(str(shape), 80)} of {dtype}, {needed} bytes, expected at most {_MOST_BYTES}"
        )
    if needed > size:
        raise DataError(f"{path} is truncated: {size} bytes, expected {needed} of {dtype}; write it again")
    data = file.read(needed)  # at most what is stated, whatever it inflates to
    if len(data) < needed:
        raise DataError(f"{path} is truncated: {len(data)} bytes of data, expected {needed}; write it again")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)
