"""Fixtures for tests of launch files: an installation of the sources under test, and real launch run on it.

ROS is imported inside the fixtures: each test module skips itself where there is none, which a conftest cannot do.
"""

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DRIVER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

path, *arguments = sys.argv[1:]
included = IncludeLaunchDescription(
    AnyLaunchDescriptionSource(path), launch_arguments=[argument.split(":=", 1) for argument in arguments]
)
service = LaunchService(noninteractive=True)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""

RTABMAP = """
from launch import LaunchDescription
from launch.actions import LogInfo, OpaqueFunction

def show(context):
    return [LogInfo(msg=f"rtabmap gets {name}={value}.") for name, value in context.launch_configurations.items()]

def generate_launch_description():
    return LaunchDescription([OpaqueFunction(function=show)])
"""

PRINT_ARGUMENTS = """#!/bin/sh
echo "arguments: $*"
"""


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An ament prefix as an installation makes it, of the sources under test; its rviz2 prints what it is given."""
    prefix = tmp_path_factory.mktemp("prefix")
    index, share = prefix / "share/ament_index/resource_index/packages", prefix / "share/metric3d_ros"
    index.mkdir(parents=True)
    for package in ("metric3d_ros", "rviz2"):
        (index / package).touch()
    for name in ("launch", "config"):
        shutil.copytree(ROOT / name, share / name)
    shutil.copy(ROOT / "package.xml", share)
    shutil.copytree(ROOT / "resource/executables", prefix / "lib/metric3d_ros")
    write_program(prefix / "bin/python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    write_program(prefix / "lib/rviz2/rviz2", PRINT_ARGUMENTS)
    return prefix


@pytest.fixture
def launch_file(tmp_path, prefix, domain):
    """Return a function that launches a file of the package with arguments and is undone after the test."""
    from ros_process import RosProcess, ros_environment

    prefixes = os.pathsep.join([str(prefix), os.environ.get("AMENT_PREFIX_PATH") or sys.prefix])
    environment = ros_environment(tmp_path / "log", domain, AMENT_PREFIX_PATH=prefixes, PYTHONUNBUFFERED="1")
    started = []

    def start(file, **arguments):
        path = prefix / "share/metric3d_ros/launch" / file
        words = [f"{name}:={value}" for name, value in arguments.items()]
        started.append(RosProcess([sys.executable, "-c", DRIVER, str(path), *words], environment))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def rtabmap(prefix):
    """RTAB-Map's launch file, installed for this test."""
    marker = prefix / "share/ament_index/resource_index/packages/rtabmap_launch"
    path = prefix / "share/rtabmap_launch/launch/rtabmap.launch.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(RTABMAP)
    marker.touch()
    yield
    marker.unlink()
