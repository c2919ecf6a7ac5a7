"""The demo as a user runs it: real processes over real DDS, a real ONNX Runtime session, pictures at the end."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import tiny_models

from metric3d_ros.demo.child_processes import read_tail
from metric3d_ros.model_contract import STAND_IN_WEIGHTS
from metric3d_ros.recordings.images import read_rgb, write_rgb
from metric3d_ros.recordings.ply import read_ply

pytest.importorskip("rclpy", reason="the demo runs ROS nodes, and rclpy is not installed")

from ros_process import next_domain

PATIENCE_S = 120


@pytest.fixture
def model(tmp_path):
    return tiny_models.save_contract_model(tmp_path / "tiny.onnx")


@pytest.fixture
def environment(tmp_path):
    """An environment without HOME and with a ROS domain of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROS_", "HOME", "COLORTERM"))}
    return {**kept, "ROS_DOMAIN_ID": str(next_domain()), "PYTHONUNBUFFERED": "1"}


def start_demo(*arguments, environment, log):
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "metric3d_ros.demo", *map(str, arguments)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def run_demo(*arguments, environment, tmp_path):
    """Run the demo to its end; return its exit code and what it printed."""
    log = tmp_path / "demo.log"
    process = start_demo(*arguments, environment=environment, log=log)
    try:
        code = process.wait(PATIENCE_S)
    finally:
        process.kill()
    return code, log.read_text()


def nodes_of(process):
    """Return the demo's node processes, as they are now."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if any("metric3d_ros.nodes" in word for word in child.cmdline())]


def wait_for_nodes(process, *, count, log):
    deadline = time.monotonic() + PATIENCE_S
    while len(nodes := nodes_of(process)) < count:
        assert process.poll() is None, f"the demo ended early:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"{count} nodes were never there:\n{log.read_text()}"
        time.sleep(0.05)
    return nodes


def test_a_flight_comes_back_over_dds_and_ends_in_pictures_points_and_a_page(model, environment, tmp_path):
    out = tmp_path / "out"
    code, text = run_demo("--model", model, "--frames", 3, "--output", out, environment=environment, tmp_path=tmp_path)
    assert code == 0, text
    figures = json.loads((out / "figures.json").read_text())
    assert figures["frames"] == figures["frames_expected"] == 3
    assert figures["model"] == "tiny.onnx (tiny, fp32) on cpu"
    assert figures["stand_in_weights"] is False
    assert {"depth/image", "normals/image", "points"} <= figures["per_frame"][0]["latency_ms"].keys()
    assert 0 < figures["accuracy"]["mean"]["abs_rel"] < 100
    assert len(list((out / "frames").glob("*.jpg"))) == 3
    assert read_rgb(out / "overview.png").std() > 10  # not one flat colour
    cloud = read_ply(out / "map.ply")
    assert len(cloud["x"]) > 1000
    page = (out / "index.html").read_text()
    for path in (out / "frames", out / "map.ply", out / "overview.png", out / "index.html"):
        assert str(path) in text
    assert not re.findall(
        r"""(?:src|href)=["']?(?!data:)|url\((?!data:)|import\(|fetch\(""", page
    )  # needs no other file
    assert "3/3" in text


def test_the_depth_of_a_frame_is_the_models_own_at_the_frames_camera(environment, model, tmp_path):
    grey = np.full((60, 90, 3), 80, np.uint8)
    grey[:, :45] = 40
    write_rgb(tmp_path / "in" / "only.png", grey)
    out = tmp_path / "out"
    code, text = run_demo(
        *("--model", model, "--images", tmp_path / "in", "--focal", 500, "--output", out),
        environment=environment,
        tmp_path=tmp_path,
    )
    assert code == 0, text
    cloud = read_ply(next((out / "clouds").glob("*.ply")))
    # The model's rule: 0.05 m per grey level at 1000 px, so 1 m on the left and 2 m on the right at 500 px.
    depths, counts = np.unique(np.round(cloud["z"], 4), return_counts=True)
    assert depths.tolist() == [1.0, 2.0]
    assert counts.sum() == pytest.approx(60 * 90, abs=2 * 60 * 2)  # the jump's own pixels are left out
    left = cloud["z"] < 1.5
    assert cloud["x"][left].max() < 0 < cloud["x"][~left].max()
    assert json.loads((out / "figures.json").read_text())["accuracy"] is None


def test_images_of_several_sizes_go_through_one_run(environment, model, tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a_1.png", (48, 64)), ("a_2.png", (90, 60)), ("a_10.png", (40, 160))):
        write_rgb(tmp_path / "in" / name, rng.integers(0, 255, (*size, 3), np.uint8))
    out = tmp_path / "out"
    code, text = run_demo(
        *("--model", model, "--images", tmp_path / "in", "--hfov", 70, "--output", out),
        environment=environment,
        tmp_path=tmp_path,
    )
    assert code == 0, text
    names = [path.name for path in sorted((out / "frames").iterdir())]
    assert names == ["000_a_1.jpg", "001_a_2.jpg", "002_a_10.jpg"]


def test_images_that_the_node_would_drop_are_left_out_and_named(environment, model, tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (48, 64)), ("b_small.png", (10, 400)), ("d.png", (60, 90))):
        write_rgb(tmp_path / "in" / name, rng.integers(0, 255, (*size, 3), np.uint8))
    (tmp_path / "in" / "c_broken.jpg").write_text("no image")
    write_rgb(tmp_path / "in" / "e_large.png", np.zeros((4000, 5000, 3), np.uint8))
    out = tmp_path / "out"
    code, text = run_demo(
        *("--model", model, "--images", tmp_path / "in", "--focal", 100, "--output", out, "--timeout", 20),
        environment=environment,
        tmp_path=tmp_path,
    )
    assert code == 0, text
    assert [path.name for path in sorted((out / "frames").iterdir())] == ["000_a.jpg", "001_d.jpg"]
    assert "b_small.png is 400x10 pixels, expected at least 28x28" in text
    assert "e_large.png is 5000x4000, expected at most 16777216 pixels" in text
    assert "c_broken.jpg is no image that can be decoded" in text


@pytest.mark.parametrize("own", [True, False], ids=["own images", "rendered flight"])
def test_the_demo_model_is_explained_for_own_images(environment, tmp_path, own):
    rng = np.random.default_rng(0)
    write_rgb(tmp_path / "in" / "a.png", rng.integers(0, 255, (60, 90, 3), np.uint8))
    images = ("--images", tmp_path / "in", "--focal", 100) if own else ("--frames", 1)
    out = tmp_path / "out"
    code, text = run_demo(*images, "--output", out, environment=environment, tmp_path=tmp_path)
    assert code == 0, text
    assert text.count("is a small one for trying, not for robots") == own
    assert ("MODEL=vit_small (or --model vit_small) gives the authors' depth" in text) == own
    assert ("is a small one for trying, not for robots" in (out / "index.html").read_text()) == own
    assert (out / "logs/depth_node.log").read_text().count("is a small one for trying, not for robots") == own


def test_stand_in_weights_are_said_loudly_everywhere(environment, tmp_path):
    metadata = dataclasses.replace(tiny_models.METADATA, weights_file=STAND_IN_WEIGHTS)
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx", metadata=metadata)
    out = tmp_path / "out"
    code, text = run_demo("--model", model, "--frames", 1, "--output", out, environment=environment, tmp_path=tmp_path)
    assert code == 0, text
    assert text.count("STAND-IN WEIGHTS") == 2  # first and last
    assert json.loads((out / "figures.json").read_text())["stand_in_weights"] is True
    assert "STAND-IN WEIGHTS" in (out / "index.html").read_text()
    for picture in (out / "overview.png", next((out / "frames").iterdir())):
        red, green, blue = read_rgb(picture)[3, 3].astype(int)
        assert red > 150 > 80 > max(green, blue), "the banner on top is red"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both_nodes_and_says_so(model, environment, tmp_path, signal_number):
    log = tmp_path / "demo.log"
    write_rgb(tmp_path / "in" / "only.png", np.full((60, 90, 3), 80, np.uint8))
    images = ("--images", tmp_path / "in", "--focal", 500)
    process = start_demo("--model", model, *images, "--output", tmp_path / "out", environment=environment, log=log)
    try:
        nodes = wait_for_nodes(process, count=2, log=log)
        os.kill(process.pid, signal_number)
        assert process.wait(30) == 130
    finally:
        process.kill()
    # One that was only just being started ends by its parent's death, a moment later.
    _, alive = psutil.wait_procs(nodes, timeout=15)
    assert not alive
    assert log.read_text().strip().endswith("interrupted")
    assert "Traceback" not in log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_even_a_killed_demo_leaves_no_node_behind(model, environment, tmp_path):
    log = tmp_path / "demo.log"
    write_rgb(tmp_path / "in" / "only.png", np.full((60, 90, 3), 80, np.uint8))
    images = ("--images", tmp_path / "in", "--focal", 500)
    process = start_demo("--model", model, *images, "--output", tmp_path / "out", environment=environment, log=log)
    try:
        nodes = wait_for_nodes(process, count=1, log=log)
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(nodes, timeout=15)
    assert not alive


def test_a_node_that_cannot_start_is_reported_with_the_end_of_its_log(environment, tmp_path):
    model = tiny_models.save_authors_model(tmp_path / "fixed.onnx", size_hw=(56, 84))
    code, text = run_demo(
        *("--model", model, "--inference-size", "trained", "--frames", 1, "--output", tmp_path / "out"),
        environment=environment,
        tmp_path=tmp_path,
    )
    assert code == 1
    assert "depth_node ended with exit code 1 before it was ready; its log" in text
    assert "inference_size 'trained' needs a model that states its training size" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none.onnx"], "none.onnx does not exist"),
        (["--images", "{images}"], "focal length is missing"),
        (["--images", "{images}", "--focal", "500", "--hfov", "60"], "focal length is given twice"),
        (["--focal", "500"], "without images"),
        (["--frames", "0"], "--frames is 0"),
        (["--timeout", "0"], "--timeout is 0"),
        (["--inference-size", "big"], "inference_size is 'big'"),
        (["--images", "missing", "--focal", "500"], "no file or folder missing"),
        (["--images", "missing", "--focal", "0"], "--focal is 0, expected pixels above 0"),
        (["--images", "missing", "--hfov", "-60"], "--hfov is -60, expected degrees above 0"),
    ],
)
def test_a_users_mistake_is_one_line_before_anything_starts(model, environment, tmp_path, arguments, message):
    write_rgb(tmp_path / "images" / "image.png", np.zeros((48, 64, 3), np.uint8))
    given = [word.format(images=tmp_path / "images") for word in arguments]
    given = given if "--model" in given else ["--model", model, *given]
    code, text = run_demo(*given, "--output", tmp_path / "out", environment=environment, tmp_path=tmp_path)
    assert code == 1
    assert message in text
    assert len(text.strip().splitlines()) == 1
    assert text.startswith("metric3d demo: ")


def test_a_folder_with_other_files_is_not_touched(model, environment, tmp_path):
    (tmp_path / "mine" / "frames").mkdir(parents=True)
    (tmp_path / "mine" / "frames" / "a.jpg").write_text("precious")
    code, text = run_demo("--model", model, "--output", tmp_path / "mine", environment=environment, tmp_path=tmp_path)
    assert code == 1
    assert "holds files that the demo did not write" in text
    assert (tmp_path / "mine" / "frames" / "a.jpg").read_text() == "precious"


def test_a_logs_tail_is_its_last_lines(tmp_path):
    (tmp_path / "long.log").write_text("".join(f"line {i}\n" for i in range(100)))
    assert read_tail(tmp_path / "long.log", lines=2) == "  line 98\n  line 99"
    (tmp_path / "empty.log").write_text("")
    assert "empty" in read_tail(tmp_path / "empty.log")
    assert "cannot be read" in read_tail(tmp_path / "missing.log")
