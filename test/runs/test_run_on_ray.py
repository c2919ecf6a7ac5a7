"""`metric3d run --ray`: the same results as in one process, each frame once, whatever becomes of the workers."""

import json
import os
import signal
import threading
import time

import pytest

pytest.importorskip("ray", reason="ray is not installed: pip install 'metric3d_ros[ray]'")
pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

import psutil
from made_bags import write_ros2
from rosbags.highlevel import AnyReader

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
    children = psutil.Process().children(recursive=True)
    return [child for child in children if any("Worker" in word for word in child.cmdline())]


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

    thread = threading.Thread(target=kill_one)
    thread.start()
    summary = run.run(ray_address="local", workers=2)
    thread.join()
    assert killed, "no worker was found"
    assert (summary.exit_status, summary.done) == (0, COUNT)
    frames = frames_of(tmp_path / "ray")
    assert len(frames) == len(set(frames)) == COUNT
    assert sorted(frames) == sorted(frames_of(tmp_path / "one"))
    assert messages_of(tmp_path / "ray/drive/bag") == messages_of(tmp_path / "one/drive/bag")
    for file in (tmp_path / "one/drive/png16").iterdir():
        assert file.read_bytes() == (tmp_path / "ray/drive/png16" / file.name).read_bytes()
    assert not (tmp_path / "ray/.parts").exists()
