"""Whatever writes a file or a folder, and is killed meanwhile, leaves no half of it, and the next one cleans up."""

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import metric3d_ros
from metric3d_ros.files.atomic import scratch_folder

PACKAGES = (Path(metric3d_ros.__file__).parent, Path(metric3d_ros.__file__).parents[1] / "export")
OUR_NAME = re.compile(r"\..*\.\d+-[0-9a-f]{8}\.part")

BEGIN = """
import sys, os, pathlib, time
import numpy as np
folder = pathlib.Path(sys.argv[1])
points = np.ones((4, 6, 3), np.float32)
if sys.argv[2] == "stop":
    def stop(*_):
        print("before the last step", flush=True)
        time.sleep(600)
    os.replace = os.rename = pathlib.Path.rename = stop
"""
WRITERS = {
    "video": """
from metric3d_ros.recordings.videos import join_videos
join_videos([folder.parent / "a.mp4", folder.parent / "b.mp4"], folder / "whole")
""",
    "pcd": """
from metric3d_ros.recordings.pcd import write_pcd
write_pcd(folder / "whole", points)
""",
    "ply": """
from metric3d_ros.recordings.ply import write_ply
write_ply(folder / "whole", points)
""",
    "depth": """
from metric3d_ros.recordings.depth_files import write_depth
write_depth(folder / "whole.npy", points[..., 0])
""",
    "model": """
from metric3d_ros.commands.fetch import _copy
_copy(folder.parent / "model.onnx", folder / "whole.onnx")
""",
    "build": """
from metric3d_ros.engine.gpu import build_cache
build_cache._LEAST_FREE_BYTES = 0
build_cache.build_or_load(folder, {"of": "a test"}, lambda built: (built / "whole").write_text("1"), errors=())
""",
    "scratch": """
import os, tempfile
from metric3d_ros.files.atomic import scratch_folder
tempfile.tempdir = str(folder)
with scratch_folder("metric3d_trial") as scratch:
    (scratch / "half").write_text("1")
    if sys.argv[2] == "stop":
        os.replace(scratch, scratch)
(folder / "whole").touch()
""",
}


def start(name, folder, how):
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + WRITERS[name], str(folder), how], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_killed_writer_leaves_only_what_the_next_one_removes(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "model.onnx").write_bytes(bytes(100))
    if name == "video":
        pytest.importorskip("av", reason="PyAV is not installed: pip install 'metric3d_ros[video]'")
        from metric3d_ros.recordings.videos import VideoWriter

        for part in ("a.mp4", "b.mp4"):
            writer = VideoWriter(tmp_path / part, (32, 48))
            writer.write(np.zeros((32, 48, 3), np.uint8), 0)
            writer.close()
    process = start(name, folder, "stop")
    assert process.stdout.readline(), "it ended"
    (left,) = os.listdir(folder)
    assert OUR_NAME.fullmatch(left)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert os.listdir(folder) == [left]
    process = start(name, folder, "finish")
    process.communicate()
    assert process.returncode == 0
    (whole,) = os.listdir(folder)
    assert not OUR_NAME.fullmatch(whole)
    if name == "build":
        assert sorted(os.listdir(folder / whole)) == ["manifest.json", "whole"]


def test_scratch_folder_is_of_this_user_alone_and_goes_with_its_context(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder("metric3d_trial") as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
    assert os.listdir(tmp_path) == []


# A download is gone on with by whoever comes next; what is for ROS lies in /dev/shm, with a lock of its own.
OTHER_RULES = {"hub/downloads.py", "nodes/transport/large_messages.py"}
MAKERS = {"mkdtemp", "mkstemp", "mktemp", "NamedTemporaryFile", "TemporaryDirectory", "SpooledTemporaryFile"}


SUFFIX = re.compile(r"[^ ]*\.(part|tmp|temp)\b[^ ]*")
"""Without spaces: no docstring."""


def temporary_names(source):
    """Yield what a module makes temporary names with, beside `metric3d_ros.files`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in MAKERS:
            yield node.attr
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SUFFIX.fullmatch(node.value):
            yield node.value


def test_unfinished_files_have_names_of_one_kind():
    modules = [(path, path.relative_to(package).as_posix()) for package in PACKAGES for path in package.rglob("*.py")]
    found = {
        name: list(temporary_names(path.read_text()))
        for path, name in modules
        if not name.startswith("files/") and name not in OTHER_RULES
    }
    assert len(found) > 200
    assert {name: names for name, names in found.items() if names} == {}
    assert list(temporary_names("import tempfile\ntempfile.mkdtemp()")) == ["mkdtemp"]
    assert list(temporary_names("path.with_name(f'.{name}.part.mp4')")) == [".part.mp4"]
