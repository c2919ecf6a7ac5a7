"""`metric3d run --ray`: the same results as in one process, each frame once, whatever becomes of the workers."""

import contextlib
import json
import os
import re
import signal
import threading
import time
import uuid

import pytest

pytest.importorskip("ray", reason="ray is not installed: pip install 'metric3d_ros[ray]'")
pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

import psutil
from made_bags import write_ros2
from rosbags.highlevel import AnyReader

from metric3d_ros.cli import main
from metric3d_ros.files.remote import path_of
from metric3d_ros.runs.options import RunOptions
from metric3d_ros.runs.runner import Run
from metric3d_ros.runs.sources.inputs import open_recordings

COUNT = 24


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return write_ros2(tmp_path_factory.mktemp("bag") / "drive", COUNT)


def new_run(bag, folder, model, **options):
    recordings, _ = open_recordings([bag])
    values = {"write": ("bag", "png16"), "outputs": ("depth", "points", "normals"), "chunk_frames": 4} | options
    return Run(recordings, folder, RunOptions(model=str(model), provider="cpu", threads=1, **values))


def messages_of(bag):
    with AnyReader([bag]) as reader:
        return [(c.topic, t, bytes(data)) for c, t, data in reader.messages()]


def frames_of(folder):
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return [line["frame"] for line in lines if "frame" in line]


def workers_of_ray():
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            if child.cmdline()[:1] and child.cmdline()[0].startswith("ray::Worker"):
                found.append(child)
    return found


def watch(parts, beside, work):
    """Do `work` and `beside` at once; return how many chunks were in the making at most."""
    most, stopped = [0], threading.Event()

    def count():
        while not stopped.wait(0.002):
            with contextlib.suppress(FileNotFoundError):
                most.append(len(list(parts.glob("*/*"))))

    threads = [threading.Thread(target=target) for target in (count, beside)]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    return max(most)


def test_two_workers_write_what_one_process_writes_even_if_one_is_killed(bag, model, tmp_path):
    assert new_run(bag, tmp_path / "one", model).run().exit_status == 0
    run, killed = new_run(bag, tmp_path / "ray", model), []

    def kill_one():
        deadline = time.monotonic() + 120
        while not killed and time.monotonic() < deadline:
            if run.summary.done:
                for worker in workers_of_ray()[:1]:
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.append(worker.pid)
            time.sleep(0.005)

    most_at_once = watch(tmp_path / "ray/.parts", kill_one, lambda: run.run(ray_address="local", workers=2))
    summary = run.summary
    assert killed, "no worker was found"
    # Each worker has one chunk, and a new one that of the worker that died: what is done waits nowhere.
    assert 1 <= most_at_once <= 3
    assert (summary.exit_status, summary.done) == (0, COUNT)
    frames = frames_of(tmp_path / "ray")
    assert len(frames) == len(set(frames)) == COUNT
    assert sorted(frames) == sorted(frames_of(tmp_path / "one"))
    assert messages_of(tmp_path / "ray/drive/bag") == messages_of(tmp_path / "one/drive/bag")
    for file in (tmp_path / "one/drive/png16").iterdir():
        assert file.read_bytes() == (tmp_path / "ray/drive/png16" / file.name).read_bytes()
    assert not (tmp_path / "ray/.parts").exists()


def frames_in(video):
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'metric3d_ros[video]'")
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


def run_cli(*words):
    return main(["run", *map(str, words), "--provider", "cpu", "--ray", "local", "--workers", "2"])


@pytest.mark.slow
def test_the_command_writes_every_format_as_one_process_does(bag, model, tmp_path):
    """With fixed colours: their range follows the frames of a chunk."""
    words = [bag, "--write", "bag,npz,ply,html,video", "--chunk", 5, "--fps", 5, "--model", model, "--threads", 1]
    words += ["--param", "color.far_m=5.0", "--outputs", "depth,depth_color"]
    assert main(["run", *map(str, words), "-o", str(tmp_path / "one"), "--provider", "cpu"]) == 0
    assert run_cli(*words, "-o", tmp_path / "ray") == 0
    assert messages_of(tmp_path / "ray/drive/bag") == messages_of(tmp_path / "one/drive/bag")
    for kind in ("npz", "ply"):
        files = list((tmp_path / f"one/drive/{kind}").iterdir())
        assert len(files) == COUNT // 2
        for file in files:
            assert (tmp_path / f"ray/drive/{kind}" / file.name).read_bytes() == file.read_bytes(), file
    # Chunks are done in any order, and shown in that of the recording.
    pages = [(tmp_path / name / "index.html").read_text() for name in ("one", "ray")]
    assert re.findall('src="[^"]*"', pages[0]) == re.findall('src="[^"]*"', pages[1])
    assert frames_in(tmp_path / "ray/drive/drive.mp4") == COUNT // 2


@pytest.mark.slow
def test_workers_upload_to_a_store_themselves(bag, model, tmp_path, s3, capsys):
    out = f"{s3}/{uuid.uuid4().hex}"
    words = (bag, "--write", "bag,png16", "--outputs", "depth", "--chunk", 5, "--model", model)
    assert run_cli(*words, "-o", out) == 0
    assert run_cli(*words, "-o", out) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert run_cli(*words, "-o", out, "--resume") == 0
    assert run_cli(*words, "-o", tmp_path / "local") == 0
    for name in ("drive/bag/metadata.yaml", *(f"drive/png16/{frame}.png" for frame in frames_of(tmp_path / "local"))):
        assert (path_of(out) / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
    there = {path.name for path in path_of(f"{out}/drive/bag").iterdir()}
    assert there == {path.name for path in (tmp_path / "local/drive/bag").iterdir()}


@pytest.mark.slow
def test_what_stops_a_worker_is_one_line(bag, model, tmp_path, capsys):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(model.read_bytes()[:200])
    assert run_cli(bag, "-o", tmp_path / "out", "--model", damaged) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    (line,) = [line for line in captured.err.splitlines() if line.startswith("metric3d run")]
    assert f"{damaged} cannot be loaded as an ONNX model" in line


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "[::1]:9", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_one_line(bag, model, tmp_path, capsys, address):
    words = [bag, "-o", tmp_path / "out", "--model", model, "--ray", address]
    assert main(["run", *map(str, words)]) == 1
    assert f"no Ray cluster answers at {address}" in capsys.readouterr().err


def test_a_picture_that_was_mended_is_done_by_workers_too(model, folder, tmp_path):
    whole = (folder / "view_1.png").read_bytes()
    (folder / "view_1.png").write_bytes(whole[:500])
    words = ["run", str(folder), "-o", str(tmp_path / "out"), "--focal", "70", "--model", str(model)]
    words += ["--provider", "cpu", "--threads", "1", "--chunk", "2", "--ray", "local", "--workers", "1"]
    assert main(words) == 1
    (folder / "view_1.png").write_bytes(whole)
    assert main([*words, "--resume"]) == 0
    assert sorted(path.stem for path in (tmp_path / "out/pictures/png16").iterdir()) == ["view_0", "view_1", "view_2"]
