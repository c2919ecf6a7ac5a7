"""The tree stays one in which a newcomer guesses right: small files, small rooms, tests in folders of their rooms."""

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


def test_each_broad_except_and_silenced_check_gives_its_reason():
    silent = []
    for path in files(*SOURCES):
        before = ""
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            broad = re.search(r"except \(?.*\b(Base)?Exception\b.*:", line)
            checked = re.search(r"# (noqa|type: ignore)", line)
            rest = re.sub(r"# (noqa: \w+|type: ignore\[[\w-]+\])", "", line)
            if (broad or checked) and not re.search(r"\w \w", rest[line.find("#") if "#" in line else len(rest) :]):
                silent += [] if before.startswith("#") else [f"{path.relative_to(ROOT)}:{number}: {line.strip()}"]
            before = line.strip()
    assert silent == []
