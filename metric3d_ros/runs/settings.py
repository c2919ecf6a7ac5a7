"""What has to be the same if a run goes on, and how messages name what is not."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metric3d_ros.errors import DataError
from metric3d_ros.files.boundary import one_line_about, read_text
from metric3d_ros.files.excerpts import excerpt, shorten

_REMEDY = "the run cannot be resumed; give another folder"
_MOST_NAMED = 6
_OPTIONS = {
    "inference_size": "--inference-size",
    "parameters": "--param",
    "chunk_frames": "--chunk",
    "selection.cameras.focal_px": "--focal",
    "selection.cameras.hfov_deg": "--hfov",
    "selection.cameras.calibration": "--calibration",
    "selection.cameras.scale": "--scale-calibration",
    "selection.start_s": "--start",
    "selection.end_s": "--end",
    "selection.sixteen_bit_range": "--param sixteen_bit_range",
}
"""Those that are called otherwise on the command line than `--` and the last part of their name in the settings."""


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Raise DataError, with their values then and now, if a run was begun with other settings than these."""
    with one_line_about(path, DataError, what="settings of a run", remedy=_REMEDY):
        before = dict(_values(json.loads(read_text(path, error=DataError, remedy=_REMEDY))))
    now = dict(_values(json.loads(json.dumps(settings))))
    changes = [
        f"{_option(name)} was {_shown(before.get(name))}, now {_shown(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if changes:
        more = f"; and {len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
        raise DataError(
            f"the run of {path} was begun with other options: {'; '.join(changes[:_MOST_NAMED])}{more}; give the same "
            "options, or another folder"
        )


def _values(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names of all settings, such as "selection.start_s", with their values."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _option(name: str) -> str:
    room, _, rest = name.partition(".")
    if room == "inputs":
        return f"input {shorten(rest, 80)}"
    if room == "parameters":
        return f"--param {shorten(rest, 80)}"
    return _OPTIONS.get(name, f"--{shorten(name.rpartition('.')[2], 80)}")


def _shown(value: Any) -> str:
    """Return a value as a user gave it."""
    if isinstance(value, bool):
        return str(value).lower()
    if not value:
        return "not given"
    if isinstance(value, list):
        value = ",".join(str(each) for each in value)
    return shorten(value, 80) if isinstance(value, str) else excerpt(value)
