"""The sources of a node's parameters: files and values after --ros-args, and which of them are for which node."""

import contextlib
import difflib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.atomic import scratch_folder
from metric3d_ros.files.excerpts import some
from metric3d_ros.nodes.parameter_server.file_reader import (
    SEVERAL_TYPES,
    ParameterFile,
    Setting,
    read_parameter_file,
    read_text,
    refused_value,
    with_items_of_one_type,
)

EVERY_NODE = "/**"
_ASSIGNMENT = re.compile(r"(?:(?P<node>[^:=]+):)?(?P<name>[^:=]+):=(?P<value>.*)", re.DOTALL)
_CLOSE = 0.75
_NUMBER = "0123456789_"


class ParameterSources:
    """Everything that a command line sets, and that command line without what ROS 2 would refuse it for.

    ROS 2 ends a node for one value that it cannot read, whichever node that value is meant for, or for an empty list
    under `/**`. Here such a value is left out and remembered: `refused` tells whether this node has to do without it.
    """

    def __init__(self, argv: Sequence[str], *, accepts: Callable[[Sequence[str]], bool]) -> None:
        """Read the files that `argv` names.

        Args:
            argv: the command line with the program's name.
            accepts: tells whether ROS 2 takes a command line.

        Raises ConfigurationError for a file that cannot be read.
        """
        self.argv = list(argv)
        self.files: list[ParameterFile] = []
        self.settings: list[Setting] = []
        self._open = contextlib.ExitStack()
        self._folder: Path | None = None
        self._accepts = accepts
        drop: list[int] = []
        try:
            for position, option, words in _ros_options(argv):
                if option == "--params-file":
                    self._read_file(position, words)
                elif not self._read_assignment(position, words):
                    drop += [position - 1, position]
        except BaseException:  # an interruption too; nobody else can remove its files
            self.close()
            raise
        self.argv = [word for position, word in enumerate(self.argv) if position not in drop]

    def _read_file(self, position: int, path: str) -> None:
        read_text(Path(path))  # within limits, before ROS 2 reads it without any
        is_accepted = self._accepts(["node", "--ros-args", "--params-file", path])
        found = read_parameter_file(Path(path), is_accepted=is_accepted, accepts=self._accepts_text)
        self.files.append(found)
        self.settings += found.settings
        if found.cleaned is not None:
            self.argv[position] = self._write(f"{len(self.files)}.yaml", found.cleaned)

    def _accepts_text(self, text: str) -> bool:
        return self._accepts(["node", "--ros-args", "--params-file", self._write("trial.yaml", text)])

    def _write(self, name: str, text: str) -> str:
        """Write a file that is there until `close`; return its path."""
        try:
            if self._folder is None:
                self._folder = self._open.enter_context(scratch_folder("metric3d_parameters"))
            path = self._folder / name
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"ROS 2 does not take all of the parameter files, and no copy without the rest can be written "
                f"({error.strerror}): set TMPDIR to a folder that can be written to"
            ) from error
        return str(path)

    def close(self) -> None:
        """Remove the cleaned copies of files: ROS 2 has read them."""
        self._open.close()
        self._folder = None

    def _read_assignment(self, position: int, words: str) -> bool:
        """Note NAME:=VALUE; return whether ROS 2 takes it. What is no assignment at all is left to ROS 2."""
        found = _ASSIGNMENT.fullmatch(words)
        if found is None:
            return True
        refusal = refused_value(found["value"])
        if not refusal and not self._accepts(["node", "--ros-args", "-p", words]):
            repaired = words[: found.start("value")] + with_items_of_one_type(found["value"])
            if self._accepts(["node", "--ros-args", "-p", repaired]):
                self.argv[position] = repaired
            else:
                refusal = SEVERAL_TYPES if found["value"].lstrip().startswith("[") else "ROS 2 does not take it"
        section = "/**/" + found["node"].strip("/") if found["node"] else EVERY_NODE
        self.settings.append(Setting(section, found["name"], found["value"], f"-p {words}", refusal, is_argument=True))
        return not refusal

    def setting(self, node_name: str, name: str) -> Setting | None:
        """Return what sets a parameter of the node with that full name; None if nothing does."""
        found = [each for each in self.settings if each.name == name and matches(each.section, node_name)]
        return found[-1] if found else None

    def refused(self, node_name: str, names: Callable[[str], bool]) -> Setting | None:
        """Return a setting of this node that ROS 2 does not take, among those whose name is one of `names`."""
        for name in dict.fromkeys(each.name for each in self.settings):
            found = self.setting(node_name, name) if names(name) else None
            if found is not None and found.refusal:
                return found
        return None

    def names(self, node_name: str) -> list[str]:
        """Return the names of all parameters that are set for the node, those included that ROS 2 does not take."""
        return list(dict.fromkeys(each.name for each in self.settings if matches(each.section, node_name)))

    def check_strays(self, node_name: str, known: Collection[str]) -> None:
        """Raise ConfigurationError for parameters of this node that have no `ros__parameters` above them."""
        for file in self.files:
            for above, name in file.strays:
                if _is_meant_for(above, name, node_name, known):
                    raise ConfigurationError(
                        f"parameter file {file.path} has {name} without ros__parameters above it: write /**: in the "
                        "first line, ros__parameters: below it with 2 spaces before it, and the parameters below "
                        "that with 4"
                    )

    def describe(self, node_name: str, known: Collection[str]) -> tuple[list[str], list[str]]:
        """Return lines about what each file sets of the node, and warnings about files and arguments that miss it."""
        lines: list[str] = []
        warnings: list[str] = []
        for file in self.files:
            ours = [each for each in file.settings if matches(each.section, node_name)]
            names = list(dict.fromkeys(each.name for each in ours if each.name in known and not each.refusal))
            if names:
                lines.append(f"parameter file {file.path} sets {some(names)}")
            if not file.is_understood:
                continue
            if file.strays and not file.sections:
                warnings.append(
                    f"parameter file {file.path} has no effect: nothing in it has ros__parameters: above it; write "
                    f"{node_name}: or /**: in the first line, and ros__parameters: below it"
                )
            elif not file.sections:
                lines.append(f"parameter file {file.path} sets nothing: it holds no parameters")
            elif not ours:
                keys = some(file.sections)
                near = _near(file, node_name, known)
                place = f" in place of {near}:" if near else ""
                warnings.append(
                    f"parameter file {file.path} holds nothing for this node, {node_name}, whose parameters therefore "
                    f"stay as they are without it: its keys are {keys}; write {node_name}: or /**:{place}"
                )
            elif near := _near_beside(file, node_name):
                warnings.append(
                    f"parameter file {file.path} has parameters for {near}:, which is not this node, {node_name}: "
                    f"write {node_name}: or /**: in place of {near}:"
                )
        warnings += [
            f"{each.source} has no effect on this node, {node_name}: write -p {each.name}:={each.text}"
            for each in self.settings
            if each.is_argument and each.name in known and not matches(each.section, node_name)
        ]
        return lines, warnings


def matches(section: str, node_name: str) -> bool:
    """Return whether a section of a parameter file is for the node; * is one part of its name, ** any number."""
    pattern, parts = "", section.strip("/").split("/")
    # A ** beside another one adds nothing but time.
    for part in (part for part, before in zip(parts, ["", *parts], strict=False) if (part, before) != ("**", "**")):
        pattern += {"*": r"/[^/]+", "**": r"(?:/[^/]+)*"}.get(part, "/" + re.escape(part))
    return re.fullmatch(pattern, node_name) is not None


def _is_meant_for(above: str, name: str, node_name: str, known: Collection[str]) -> bool:
    """Return whether a value without `ros__parameters` is a parameter of the node: alone, or below the node's name."""
    keys = [key for key in above.split("/") if key]
    for depth in range(len(keys) + 1):
        if ".".join([*keys[depth:], name]) in known and (not depth or matches("/".join(keys[:depth]), node_name)):
            return True
    return False


def _near(file: ParameterFile, node_name: str, known: Collection[str]) -> str:
    """Return the section that was most likely meant for the node; "" if none looks like it."""
    base = _base(node_name)
    for section in file.sections:
        if _base(section) == base or _alike(_base(section), base):
            return section
    for section in file.sections:
        names = {each.name for each in file.settings if each.section == "/" + section.lstrip("/")}
        if names & set(known):
            return section
    return ""


def _near_beside(file: ParameterFile, node_name: str) -> str:
    """Return a section that is probably meant for the node, in a file that also has a wider pattern for it."""
    base = _base(node_name)
    if any(_base(section) == base and matches(section, node_name) for section in file.sections):
        return ""
    for section in file.sections:
        is_bare = section.strip("/") == base
        if not matches(section, node_name) and (is_bare or _alike(_base(section), base)):
            return section
    return ""


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _alike(name: str, other: str) -> bool:
    """Return whether one is the other with a slip; names that differ by a number are of two nodes."""
    if name.strip(_NUMBER) == other.strip(_NUMBER):
        return False
    return difflib.SequenceMatcher(None, name, other).ratio() > _CLOSE


def _ros_options(argv: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield each file and assignment behind --ros-args with the position of its words."""
    for_ros = False
    for position, word in enumerate(argv):
        if for_ros and position and argv[position - 1] in ("--params-file", "-p", "--param"):
            yield position, argv[position - 1], word
        if word in ("--ros-args", "--"):
            for_ros = word == "--ros-args"
