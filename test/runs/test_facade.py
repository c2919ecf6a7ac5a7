"""The Python interface: every example of docs/recordings.md and of its docstrings runs."""

import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from made_bags import write_ros2

import metric3d_ros

ROOT = Path(__file__).parents[2]


@pytest.fixture
def at_a_recording(tmp_path, monkeypatch):
    """Work in a folder with drive.mcap."""
    bag = write_ros2(tmp_path / "drive", 3)
    os.replace(bag / "drive.mcap", tmp_path / "drive.mcap")
    monkeypatch.chdir(tmp_path)


def blocks_of_the_page():
    page = (ROOT / "docs/recordings.md").read_text()
    return re.findall(r"```python\n(.*?)```", page[page.index("## From Python") :], re.DOTALL)


@pytest.mark.usefixtures("at_a_recording")
def test_examples_of_the_page_run_one_after_another(capsys):
    blocks = blocks_of_the_page()
    assert len(blocks) == 3
    if not any(Path(folder, "open3d").is_dir() for folder in sys.path):
        blocks = [block for block in blocks if "open3d" not in block]
    names = {}
    for block in blocks:
        exec(compile(block, "docs/recordings.md", "exec"), names)
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert Path("depth.png").stat().st_size
    with np.load("depth.npz") as arrays:
        assert arrays["depth_m"].shape == (48, 64)


DOCUMENTED = [
    metric3d_ros.load,
    metric3d_ros.frames,
    *(getattr(metric3d_ros.Estimate, f"{name}") for name in ("points", "to_numpy", "to_pil")),
    metric3d_ros.Estimate.to_open3d_cloud,
    metric3d_ros.Estimate.to_open3d_rgbd,
]


@pytest.mark.parametrize("function", DOCUMENTED, ids=lambda function: function.__name__)
@pytest.mark.usefixtures("at_a_recording")
def test_examples_of_docstrings_run(model, function):
    lines = [line.strip() for line in inspect.getdoc(function).splitlines() if line.strip()[:3] in (">>>", "...")]
    assert lines, "no example"
    example = "\n".join(line[4:] for line in lines).replace('"vit_small"', repr(str(model)))
    if "open3d" in example:
        pytest.importorskip("open3d", reason="Open3D is not installed: pip install 'metric3d_ros[open3d]'")
        import open3d
    else:
        open3d = None
    model_ = metric3d_ros.load(model, provider="cpu", threads=1)
    frame = next(metric3d_ros.frames("drive.mcap"))
    estimate = model_.estimate(frame.rgb, frame.camera)
    names = {
        "metric3d_ros": metric3d_ros,
        "numpy": np,
        "open3d": open3d,
        "model": model_,
        "frame": frame,
        "rgb": frame.rgb,
        "camera": frame.camera,
        "estimate": estimate,
    }
    exec(compile(example, function.__name__, "exec"), names)


def test_conversions_import_nothing_before_they_are_asked_for(model):
    code = f"""
        import sys, numpy, metric3d_ros
        camera = metric3d_ros.Camera.from_focal(64, 48, focal_px=60)
        estimate = metric3d_ros.load({str(model)!r}, provider="cpu").estimate(numpy.zeros((48, 64, 3), "uint8"), camera)
        estimate.to_numpy(), estimate.points()
        assert not {{"open3d", "PIL"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
