"""Where a calibration lies: a path, or file:// and package:// as camera_info_manager takes them."""

import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote

from metric3d_ros.errors import DataError
from metric3d_ros.files.paths import user_path

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_EXPECTED = "expected a path, file:///PATH or package://PACKAGE/PATH, with #NAME behind it for one of several cameras"


def resolve_calibration(url: str | Path, *, camera_name: str = "") -> tuple[Path, str]:
    """Return the file that `url` names and, after a #, which of its cameras ("" if none is named).

    ${NAME} stands for `camera_name`, ${ROS_HOME} for ROS's folder of the user, a ~ for the home directory.
    Raises DataError for another kind of URL and for a package that is not installed.
    """
    text = str(url).replace("${NAME}", camera_name).replace("${ROS_HOME}", _ros_home())
    if isinstance(url, Path) or os.path.isfile(text):
        return user_path(text), ""
    text, _, camera = text.partition("#")
    match = _SCHEME.fullmatch(text)
    if match is None:
        return user_path(text), camera
    scheme, rest = match[1].lower(), unquote(match[2])
    if scheme == "file":
        # file://localhost/PATH is the same file.
        return user_path(rest.removeprefix("localhost")), camera
    if scheme == "package":
        package, _, inner = rest.partition("/")
        return _find_share(package, text) / inner, camera
    raise DataError(f"the calibration {text} is of the kind {scheme}://, {_EXPECTED}")


def _ros_home() -> str:
    return os.environ.get("ROS_HOME") or str(user_path("~/.ros"))


def _find_share(package: str, url: str) -> Path:
    # As ament_index finds it; in a virtual environment with ROS 2 wheels the environment is such a prefix too.
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    for prefix in prefixes:
        marker = Path(prefix) / "share" / "ament_index" / "resource_index" / "packages" / package
        if package and os.path.isfile(marker):
            return Path(prefix) / "share" / package
    raise DataError(
        f"the calibration {url} lies in package '{package}', which is not installed: source its workspace's setup "
        "file, or give the file's path"
    )
