"""Depth as OpenEXR files: float32 metres in the channel Z, as renderers and compositing programs have it."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import DataError


def write_exr(path: str | Path, depth_m: npt.NDArray[np.float32]) -> None:
    """Write depth (H, W) metres, NaN where invalid, without loss (ZIP); the folder is made if it is not there.

    Raises:
        DataError: OpenEXR is not installed, or depth has another shape.
        OSError: the file cannot be written.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise DataError("writing EXR files needs OpenEXR: pip install '.[exr]' in the source folder") from error
    path = Path(path)
    if depth_m.ndim != 2:
        raise DataError(f"{path}: depth has shape {depth_m.shape}, expected (H, W)")
    path.parent.mkdir(parents=True, exist_ok=True)
    header: dict[str, Any] = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    channels = {"Z": np.ascontiguousarray(depth_m, np.float32)}
    try:
        with OpenEXR.File(header, channels) as file:
            file.write(str(path))
    except RuntimeError as error:
        # It raises nothing else; only its words tell that the disk is full.
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number), str(path)) from error
        raise OSError(errno.EIO, str(error), str(path)) from error
