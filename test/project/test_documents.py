"""README, CONTRIBUTING and docs/ name only what exists: files, rooms, headings that links lead to."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    {
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("metric3d_ros/models/*.md"),
    }
)
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TOP = ("metric3d_ros", "export", "test", "launch", "config", "docs", "resource")
LEAST_ROWS = 25


def section(heading: str) -> str:
    """Return what stands below a heading of CONTRIBUTING.md, up to the next one."""
    return CONTRIBUTING.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = [heading.replace("`", "").lower() for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def rooms() -> dict[str, str]:
    """Return the folder of each room with the first line of its docstring."""
    found = {}
    for top in ("metric3d_ros", "export"):
        for path in sorted((ROOT / top).rglob("__init__.py")):
            name = f"{path.parent.relative_to(ROOT)}/"
            found[name] = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    found.pop("metric3d_ros/")  # the whole
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), (
                f"{path.name} links to {target}; {linked.name} has {sorted(anchors(linked))}"
            )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for name in re.findall(rf"`((?:{'|'.join(TOP)})/[\w./-]*)`", text):
        assert (ROOT / name).exists(), f"{path.name} names {name}"


def test_a_table_tells_which_file_to_open():
    rows = [row for row in section("If you look for X, open Y").splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= LEAST_ROWS
    for row in rows:
        wanted, files = row.strip("| ").split(" | ")
        names = re.findall(r"`([^`]+)`", files)
        assert names, f"the row of {wanted} names no file"
        for name in names:
            assert (ROOT / name).exists(), f"{wanted}: {name}"


def test_every_room_is_listed_with_its_own_sentence():
    listed = dict(re.findall(r"^\| `([\w/]+/)`[^|]*\| (.+) \|$", section("Rooms"), re.MULTILINE))
    expected = rooms()
    assert listed == expected, "the rooms' table must hold:\n" + "\n".join(
        f"| `{name}` | {text} |" for name, text in expected.items()
    )


def test_the_picture_of_the_data_path_names_modules_that_exist():
    picture = re.search(r"```mermaid\n(.+?)```", section("The path of a frame"), re.DOTALL)[1]
    modules = re.findall(r"\b(\w+\.py)\b", picture)
    assert len(modules) >= 5
    for name in modules:
        assert list(ROOT.glob(f"metric3d_ros/**/{name}")), name


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
