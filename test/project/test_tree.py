"""The tree stays one in which a newcomer guesses right: small files, small rooms, tests in folders of their rooms."""

import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("metric3d_ros", "export", "launch")
MOST_LINES, MOST_MODULES = 350, 12
NO_ROOMS = {"data", "project", "reliability", "support"}
"""What tests are compared with, tests of the whole project, `make fuzz` and `make soak`, what several tests share."""


def files(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def rooms():
    return sorted({path.parent.relative_to(ROOT) for path in files("metric3d_ros", "export")}, key=str)


def room_of(tests):
    """Return the folder of the sources that a folder of tests is about."""
    return tests if tests.parts[0] in SOURCES else Path("metric3d_ros", tests)


def test_no_file_is_longer_than_one_reads_at_once():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files(*SOURCES, "test")}
    assert len(lengths) > 300
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("room", rooms(), ids=str)
def test_a_room_holds_at_most_a_dozen_modules(room):
    modules = [path.stem for path in (ROOT / room).glob("*.py") if not path.stem.startswith("__")]
    assert len(modules) <= MOST_MODULES, modules


def test_each_folder_of_tests_has_the_name_of_its_room():
    folders = {path.parent.relative_to(ROOT / "test") for path in files("test")} - {Path()}
    folders -= {Path(name) for name in NO_ROOMS}
    assert len(folders) > 15
    assert sorted(str(folder) for folder in folders if not (ROOT / room_of(folder)).is_dir()) == []


def test_tests_stand_in_the_folder_of_a_room():
    assert [path.name for path in (ROOT / "test").glob("*.py")] == ["conftest.py"]


def needs_reason(line):
    """Whether a line has an except for all exceptions, or silences a checker."""
    return re.search(r"except \(?.*\b(Base)?Exception\b.*:|# (noqa|type: ignore)", line) is not None


def gives_reason(line, line_before):
    """Whether a comment of some words is behind a line, besides those that silence checkers, or above it."""
    _, _, comment = line.partition("#")
    comment = re.sub(r"(noqa: \w+|type: ignore\[[\w-]+\])", "", comment)
    return re.search(r"\w \w", comment) is not None or line_before.strip().startswith("#")


def test_each_broad_except_and_silenced_check_gives_its_reason():
    checked, silent = 0, []
    for path in files(*SOURCES):
        lines = path.read_text().splitlines()
        for number, (line_before, line) in enumerate(itertools.pairwise(["", *lines]), start=1):
            if needs_reason(line):
                checked += 1
                if not gives_reason(line, line_before):
                    silent.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert checked > 50
    assert silent == []
