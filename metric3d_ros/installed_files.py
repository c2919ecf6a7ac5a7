"""Finds the files that are installed beside the package: config/, launch/, package.xml."""

import os
import site
import sys
from pathlib import Path

from metric3d_ros.errors import ConfigurationError

PACKAGE = "metric3d_ros"


def shared_file(relative: str) -> Path:
    """Return the path of a file of share/metric3d_ros, such as "config/fastdds.xml".

    Looks in the source tree (an editable install or a clone), then where colcon and then where pip install it.
    Raises ConfigurationError when it is in none of them.
    """
    folders = _folders()
    for folder in folders:
        if (folder / relative).is_file():
            return folder / relative
    places = ", ".join(map(str, folders))
    raise ConfigurationError(f"{relative} of {PACKAGE} was not found in {places}: install the package again")


def _folders() -> list[Path]:
    folders = []
    source = Path(__file__).resolve().parents[1]
    if (source / "package.xml").is_file():
        folders.append(source)
    # The place in the ament index, which does not exist if the package was installed with pip alone.
    prefixes = [prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    prefixes += [sys.prefix, site.getuserbase()]
    return folders + [Path(prefix) / "share" / PACKAGE for prefix in prefixes]
