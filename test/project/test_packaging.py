"""The package: what is installed by pip and by colcon, and which parts may import which."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import venv
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

import metric3d_ros
from metric3d_ros import cli

ROOT = Path(__file__).parents[2]
_NOT_CORE = ("nodes", "commands.check_camera", "bench.node")
"""What needs ROS."""


def core_modules() -> list[str]:
    """Return every module of the runtime that must do without ROS, by its name within the package."""
    package = ROOT / "metric3d_ros"
    names = [".".join(path.relative_to(package).with_suffix("").parts) for path in sorted(package.rglob("*.py"))]
    return [name for name in names if "__" not in name and not name.startswith(_NOT_CORE)]


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def test_core_runs_where_neither_ros_nor_torch_is_installed():
    code = f"""
        import importlib, sys
        for name in ("rclpy", "sensor_msgs", "std_msgs", "cv_bridge", "torch", "onnx", "metric3d_export"):
            sys.modules[name] = None
        for room in {core_modules()}:
            importlib.import_module("metric3d_ros." + room)
        print("imported")
    """
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "imported"


def test_core_imports_without_onnxruntime_until_a_model_is_opened():
    result = run_python(
        """
        import sys
        sys.modules["onnxruntime"] = None
        from metric3d_ros.estimation.depth_model import open_model
        from metric3d_ros.errors import Metric3DError
        import tempfile, pathlib
        path = pathlib.Path(tempfile.mkstemp(suffix=".onnx")[1])
        try:
            open_model(path)
        except Metric3DError as error:
            print(error)
        finally:
            path.unlink()
        """
    )
    assert "pip install onnxruntime" in result.stdout, result.stderr


def test_version_is_one_everywhere():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    assert manifest.findtext("version") == metric3d_ros.__version__
    assert metric3d_ros.__version__ in (ROOT / "CHANGELOG.rst").read_text()


def test_package_manifest_names_what_colcon_needs():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    assert manifest.get("format") == "3"
    assert manifest.findtext("export/build_type") == "ament_python"
    assert manifest.findtext("license") == "Apache-2.0"
    # A bad address makes colcon treat the package as something else.
    assert re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]+", manifest.find("maintainer").get("email"))


def test_package_manifest_names_every_ros_package_that_is_imported():
    """rosdep installs what the manifest names; what comes along with something else may stay away one day."""
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    named = {element.text for element in manifest.findall("exec_depend")}
    ros = re.compile(
        r"^\s*(?:from|import) (rclpy|\w+_msgs|\w+_srvs|\w+_interfaces|ament_\w+|launch\w*)\b", re.MULTILINE
    )
    files = [*ROOT.glob("metric3d_ros/**/*.py"), *ROOT.glob("launch/*.py")]
    imported = {name for file in files for name in ros.findall(file.read_text(encoding="utf-8"))}
    assert {"rclpy", "sensor_msgs", "launch_ros"} <= imported
    assert imported <= named


class WheelNames(dict):
    """What a wheel holds, by the names that it is installed under, the `texts` of it, and its `path`."""


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # Built from a copy: setuptools writes build/ and egg-info beside setup.py.
    copy = tmp_path_factory.mktemp("source") / "tree"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("the sources are not a git checkout, so what belongs to them is not known")
    for name in tracked:
        if (ROOT / name).is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    subprocess.run(command, check=True, timeout=300)
    path = next(folder.glob("*.whl"))
    with zipfile.ZipFile(path) as wheel:
        names = WheelNames({info.filename.split(".data/data/")[-1]: info for info in wheel.infolist()})
        names.texts = {name: wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".txt")}
    names.path = path
    return names


def test_wheel_holds_both_packages_and_no_tests(wheel_names):
    assert "metric3d_ros/nodes/depth_node.py" in wheel_names
    assert "metric3d_export/network/vit.py" in wheel_names
    assert "metric3d_ros/py.typed" in wheel_names
    assert not [name for name in wheel_names if name.startswith(("test/", "export/"))]


def test_wheel_holds_nothing_that_does_not_belong_in_it(wheel_names):
    belongs = re.compile(
        r"(metric3d_ros|metric3d_export)/[\w/]+\.py|metric3d_ros/(py\.typed|models/demo\.onnx|models/\w+\.md|demo/\w+\.html)"
        r"|metric3d_ros/assembly/plans/\w+\.\w+\.(graph|preparations)\.onnx\.gz"
        r"|metric3d_ros-[\d.]+\.dist-info/.+|share/(ament_index|metric3d_ros)/.+|lib/metric3d_ros/\w+"
    )
    assert [name for name in wheel_names if not belongs.fullmatch(name)] == []


def test_wheel_holds_its_licence_and_the_notice(wheel_names):
    stated = {Path(name).name for name in wheel_names if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE"} <= stated


def new_environment(folder):
    """Return the Python of a new virtual environment, and variables that keep pip from the network."""
    venv.create(folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "_ROS"))}
    return folder / "bin/python", {**kept, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


def install(python, *arguments, **options):
    """Install with the pip of the tests: a new environment's own would take a while to be there."""
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *arguments]
    subprocess.run(command, check=True, **options)


def test_wheel_installs_and_runs_without_network(wheel_names, tmp_path):
    python, offline = new_environment(tmp_path / "environment")
    install(python, "--no-deps", wheel_names.path, env=offline)
    # Other packages come from here; as PYTHONPATH, without this package's own editable install.
    others = {**offline, "PYTHONPATH": sysconfig.get_path("purelib")}
    command = [python.parent / "metric3d", "info", "demo"]
    done = subprocess.run(command, env=others, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lite_demo" in done.stdout
    code = "import metric3d_ros; print(metric3d_ros.__file__)"
    shown = subprocess.run([python, "-c", code], env=others, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(tmp_path) in shown.stdout


@pytest.mark.slow
def test_node_installs_without_network_from_a_wheelhouse(wheel_names, tmp_path):
    """Of the locked versions, whose hashes are checked when the wheelhouse is filled, as docs/security.md tells."""
    house = tmp_path / "wheelhouse"
    locked = ["--require-hashes", "--requirement", ROOT / "requirements/runtime.txt"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", house, *locked], check=True)
    shutil.copy(wheel_names.path, house)
    python, offline = new_environment(tmp_path / "environment")
    install(python, "--find-links", house, "metric3d_ros[ros,cpu]", env=offline)
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "check"], env=offline, check=True)
    command = [python.parent.parent / "lib/metric3d_ros/depth_node", "--help"]
    done = subprocess.run(command, env=offline, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--shared-memory-mib" in done.stdout


def test_every_package_of_the_tree_is_listed_in_setup(wheel_names):
    for top, installed in (("metric3d_ros", "metric3d_ros"), ("export", "metric3d_export")):
        for path in (ROOT / top).rglob("*.py"):
            name = str(Path(installed) / path.relative_to(ROOT / top))
            assert name in wheel_names, f"{path} is not installed; list its package in setup.py"


def test_wheel_installs_what_ros_looks_for(wheel_names):
    share = "share/metric3d_ros"
    for name in [
        "share/ament_index/resource_index/packages/metric3d_ros",
        f"{share}/package.xml",
        f"{share}/launch/depth.launch.py",
        f"{share}/launch/multi_camera.launch.py",
        f"{share}/launch/rtabmap.launch.py",
        f"{share}/config/depth.yaml",
        f"{share}/config/depth.rviz",
        f"{share}/config/sros2_policy.xml",
        f"{share}/config/fastdds.xml",
    ]:
        assert name in wheel_names


@pytest.mark.parametrize("node", ["depth_node", "image_player", "view"])
def test_nodes_are_executables_where_ros2_run_looks(wheel_names, node):
    info = wheel_names[f"lib/metric3d_ros/{node}"]
    assert info.external_attr >> 16 & 0o111


def test_every_command_is_named_after_the_package(wheel_names):
    """A virtual environment's commands come before the system's: `view` would be Vim's no more."""
    text = next(text for name, text in wheel_names.texts.items() if name.endswith(".dist-info/entry_points.txt"))
    commands = dict(line.split(" = ") for line in text.splitlines() if " = " in line)
    assert {"metric3d", "metric3d_depth_node", "metric3d_image_player", "metric3d_view"} == commands.keys()
    for target in commands.values():
        module, function = target.split(":")
        assert run_python(f"from {module} import {function}").returncode == 0


@pytest.mark.parametrize("package", ["rerun", "rclpy"])
def test_view_can_be_asked_for_help_without(package):
    code = f"""
        import sys
        from importlib.machinery import PathFinder
        find = PathFinder.find_spec
        PathFinder.find_spec = lambda name, *rest: None if name == "{package}" else find(name, *rest)
        from metric3d_ros.cli import main
        sys.exit(main(["view", "--help"]))
    """
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert "--web-port" in result.stdout


def test_every_verb_can_be_asked_for_help():
    for name in cli.VERBS:
        result = run_python(f"import sys; from metric3d_ros.cli import main; sys.exit(main(['{name}', '--help']))")
        assert result.returncode == 0, f"metric3d {name} --help: {result.stderr}"
        assert f"metric3d {name}" in result.stdout


def test_command_without_a_verb_lists_them():
    result = run_python("from metric3d_ros.cli import main; main(['--help'])")
    assert result.returncode == 0
    for name in cli.VERBS:
        assert name in result.stdout


def test_unknown_verb_is_wrong_usage():
    assert run_python("import sys; from metric3d_ros.cli import main; sys.exit(main(['exprot']))").returncode == 2


def test_verb_whose_packages_are_missing_names_the_extra():
    code = """
        import sys
        sys.modules["torch"] = None
        from metric3d_ros.cli import main
        sys.exit(main(["export", "vit_small", "-o", "/tmp/never.onnx", "--stand-in-weights"]))
    """
    result = run_python(code)
    assert result.returncode == 1
    assert ".[export]" in result.stderr
    assert "Traceback" not in result.stderr
