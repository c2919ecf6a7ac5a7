"""requirements/ holds exactly what setup.py asks for, with hashes, for each Python that the package supports."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = {
    "runtime": ("ros", "cpu"),
    "viewer": ("ros", "cpu", "viewer"),
    "test": ("ros", "cpu", "viewer", "export", "test"),
}
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


@pytest.fixture(scope="module")
def setup_arguments():
    found = {}
    import setuptools

    original, setuptools.setup = setuptools.setup, lambda **arguments: found.update(arguments)
    try:
        runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = original
    return found


def locked(name):
    """Return the requirements of a file with how many hashes each has."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(Requirement(line.split(" --hash")[0]), line.count("--hash=sha256:")) for line in lines]


def versions(name, python):
    """Return the version of each package that the file installs with a Python on Linux and x86_64."""
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
    }
    chosen = {}
    for requirement, _ in locked(name):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            package = canonicalize_name(requirement.name)
            assert package not in chosen, f"{package} has two versions with Python {python}"
            chosen[package] = specifier.version
    return chosen


@pytest.mark.parametrize("name", FILES)
def test_every_package_has_one_version_and_hashes(name):
    found = locked(name)
    assert len(found) > 40
    assert [str(requirement) for requirement, hashes in found if not hashes] == []
    assert all(re.fullmatch(r"==[^=]+", str(requirement.specifier)) for requirement, _ in found)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", FILES)
def test_versions_are_within_the_ranges_of_setup(setup_arguments, name, python):
    chosen = versions(name, python)
    extras = setup_arguments["extras_require"]
    wanted = [*setup_arguments["install_requires"], *(each for extra in FILES[name] for each in extras[extra])]
    for requirement in map(Requirement, wanted):
        package = canonicalize_name(requirement.name)
        if package == "torch":  # the Makefile's TORCH
            assert package not in chosen
        else:
            assert requirement.specifier.contains(chosen[package]), f"run make lock: {requirement}, {chosen[package]}"


@pytest.mark.parametrize("python", PYTHONS)
def test_files_agree(python):
    every = versions("test", python)
    for name in ("runtime", "viewer"):
        assert versions(name, python).items() <= every.items()


def test_the_build_tool_is_locked_as_pyproject_asks():
    needed = re.search(r"^requires = \[(.+)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    for requirement in (Requirement(each.strip(' "')) for each in needed.split(",")):
        for python in PYTHONS:
            chosen = versions("runtime", python)[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(chosen)


def test_no_file_names_a_host():
    for path in (ROOT / "requirements").iterdir():
        assert "://" not in path.read_text()
