"""The text of a calibration file as a mapping of names to values, whichever form it has: YAML, XML or INI."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from metric3d_ros.errors import DataError

INI_FORMAT = "ini format"
"""Stands in the mapping of an INI file, which cannot name its lens model."""

_NAMES = "expected a YAML of camera_calibration, OpenCV or Kalibr, an XML of OpenCV, or an ost.txt"
_INI_SECTION = re.compile(r"^\s*\[\s*image\s*\]\s*$", re.MULTILINE | re.IGNORECASE)


class _Loader(yaml.SafeLoader):
    """SafeLoader that knows the tags of OpenCV's FileStorage, and takes any other as the plain value that it marks."""


def _construct_plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("", _construct_plain)


def read_calibration_text(path: Path) -> Mapping[str, Any]:
    """Return what a calibration file holds; DataError, in one line, if its format is unknown."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; {_NAMES}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text that can be read ({error.reason}); {_NAMES}") from error
    start = text.lstrip()[:200]
    if start.startswith("<"):
        content = _read_xml(path, text)
    elif _INI_SECTION.search(text):
        content = _read_ini(path, text)
    else:
        content = _read_yaml(path, text)
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds {type(content).__name__}, {_NAMES}")
    return content


def _read_yaml(path: Path, text: str) -> Any:
    # OpenCV's directive is not YAML's (that has a space), and `ros2 topic echo` ends each message with ---.
    body = re.sub(r"\A\s*%YAML[: ][^\n]*\n(?:---[^\n]*\n)?", "", text)
    try:
        documents = yaml.load_all(body, Loader=_Loader)
        return next(iter(documents), None)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is no YAML that can be read ({' '.join(str(error).split())[:200]}); {_NAMES}"
        ) from error


def _read_xml(path: Path, text: str) -> dict[str, Any]:
    try:
        root = ElementTree.fromstring(text.lstrip())
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path} is no XML that can be read ({error}); {_NAMES}") from error
    if root.tag != "opencv_storage":
        raise DataError(f"{path} is an XML of {root.tag}, expected opencv_storage, as OpenCV's FileStorage writes it")
    return {element.tag: _read_element(element) for element in root}


def _read_element(element: ElementTree.Element) -> Any:
    if len(element):
        inner = {child.tag: _read_element(child) for child in element}
        return list(inner.values()) if set(inner) == {"_"} else inner
    words = (element.text or "").split()
    numbers = [_to_number(word) for word in words]
    if any(number is None for number in numbers) or not numbers:
        return (element.text or "").strip().strip('"')
    return numbers[0] if len(numbers) == 1 and element.tag != "data" else numbers


def _to_number(word: str) -> float | None:
    try:
        return int(word) if re.fullmatch(r"[+-]?\d{1,18}", word) else float(word.replace(".Nan", "nan"))
    except ValueError:
        return None


def _read_ini(path: Path, text: str) -> dict[str, Any]:
    """Read the form of camera_calibration's ost.txt: a line with a name, then a line or more with its numbers."""
    content: dict[str, Any] = {INI_FORMAT: True}
    name, numbers = "", list[float]()

    def close() -> None:
        if name in content:
            raise DataError(f"{path} states '{name}' twice, for several cameras; give a file of one camera")
        if name and numbers:
            content[name] = numbers[0] if len(numbers) == 1 else list(numbers)

    for line in text.splitlines():
        line = line.split("#")[0].strip()
        found = [_to_number(word) for word in line.split()]
        if not found:
            continue
        if any(number is None for number in found):
            close()
            name, numbers = line.strip("[]").lower(), []
        else:
            numbers += [number for number in found if number is not None]
    close()
    if len(content) < 2:
        raise DataError(f"{path} looks like an INI file but states no number; {_NAMES}")
    return content
