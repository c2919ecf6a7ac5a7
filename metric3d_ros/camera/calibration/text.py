"""The text of a calibration file as a mapping of names to values, whichever form it has: YAML, XML or INI."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from metric3d_ros.errors import DataError
from metric3d_ros.files.boundary import one_line_about, read_text
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.files.yaml_text import MOST_BYTES, LimitedLoader, describe_problem, load_first_document

INI_FORMAT = "ini format"
"""Stands in the mapping of an INI file, which cannot name its lens model."""

_NAMES = "expected a YAML of camera_calibration, OpenCV or Kalibr, an XML of OpenCV, or an ost.txt"
_INI_SECTION = re.compile(r"^\s*\[\s*image\s*\]\s*$", re.MULTILINE | re.IGNORECASE)


_MOST_XML_DEPTH = 16
_MOST_XML_ELEMENTS = 10_000


class _Loader(LimitedLoader):
    """Loader that handles the tags of OpenCV's FileStorage, and reads any other as the plain value that it marks."""


def _construct_plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("", _construct_plain)


def read_calibration_text(path: Path) -> Mapping[str, Any]:
    """Return what a calibration file holds; DataError, in one line, if its format is unknown."""
    text = read_text(path, error=DataError, most_bytes=MOST_BYTES, remedy=_NAMES)
    start = text.lstrip()[:200]
    content: Any
    with one_line_about(path, DataError, what="calibration", remedy=_NAMES):
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
        return load_first_document(body, _Loader)
    except yaml.YAMLError as error:
        raise DataError(f"{path} is no YAML that can be read ({describe_problem(error, body)}); {_NAMES}") from error


def _read_xml(path: Path, text: str) -> dict[str, Any]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{path} declares entities, which can stand for any amount of text: remove its <!DOCTYPE ...>")
    try:
        root = _parse_xml(path, text.lstrip())
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path} is no XML that can be read ({error}); {_NAMES}") from error
    if root.tag != "opencv_storage":
        raise DataError(
            f"{path} is an XML of {shorten(root.tag, 40)}, expected opencv_storage, as OpenCV's FileStorage writes it"
        )
    return {element.tag: _read_element(element) for element in root}


def _parse_xml(path: Path, text: str) -> ElementTree.Element:
    """Return the root of an XML that is neither deeper nor larger than any calibration."""
    parser: Any = ElementTree.XMLPullParser(events=("start", "end"))
    parser.feed(text)
    parser.close()
    depth = elements = 0
    root: ElementTree.Element | None = None
    for event, element in parser.read_events():
        root = element if root is None else root
        depth += 1 if event == "start" else -1
        elements += event == "start"
        if depth > _MOST_XML_DEPTH or elements > _MOST_XML_ELEMENTS:
            raise DataError(
                f"{path} has elements more than {_MOST_XML_DEPTH} deep, or more than {_MOST_XML_ELEMENTS} of them: it "
                f"is not a calibration; {_NAMES}"
            )
    if root is None:
        raise ValueError("no element found")
    return root


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
            raise DataError(
                f"{path} states '{shorten(name, 40)}' twice, for several cameras; give a file of one camera"
            )
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
