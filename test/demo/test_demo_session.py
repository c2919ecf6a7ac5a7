"""How a demo waits for its nodes: what it prints or raises if they end, fall silent or lose frames."""

import io
import subprocess

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from metric3d_ros.camera import Camera
from metric3d_ros.demo import session
from metric3d_ros.demo.child_processes import Child, ChildError
from metric3d_ros.demo.frame_sources import FrameSource, Truth
from metric3d_ros.demo.session import DemoSession, NodeOptions
from metric3d_ros.demo.terminal import LiveView
from metric3d_ros.nodes.instruments import collector
from metric3d_ros.recordings.images import write_rgb

SIZE_HW = (6, 8)
RUNS = ["sleep", "600"]
ENDED = ["true"]
FAILED = ["sh", "-c", "echo 'no such file' >&2; exit 3"]


def image(index):
    return np.full((*SIZE_HW, 3), 40 * (index + 1), np.uint8)


def frame(index):
    return collector.CollectedFrame(
        stamp_ns=index,
        rgb=image(index),
        camera=Camera(fx=8, fy=8, cx=4, cy=3, width=SIZE_HW[1], height=SIZE_HW[0]),
        depth_m=np.full(SIZE_HW, 2.0, np.float32),
        normals=np.full((*SIZE_HW, 3), (0, 0, -1), np.float32),
        confidence=None,
        cloud=None,
        latency_ms={"depth/image": 12.0},
    )


class Session:
    """Stands for the collector: gives a frame each time that it is asked to wait."""

    frames = ()
    missing = ()
    connected = True

    def __init__(self, namespace, *, on_frame):
        self.left, self.on_frame, self.collector = list(self.frames), on_frame, self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def is_connected(self):
        return self.connected

    def spin_once(self, timeout_s):
        if self.left:
            self.on_frame(self.left.pop(0))


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Return what runs a demo of two images with processes and frames; it gives rate, records and what was printed."""
    for name, value in (("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"), ("ROS_LOG_DIR", str(tmp_path))):
        monkeypatch.setenv(name, value)
    paths = [tmp_path / f"{index}.png" for index in range(2)]
    for index, path in enumerate(paths):
        write_rgb(path, image(index))
    monkeypatch.setattr(collector, "CollectorSession", Session)

    def truth_of(index):
        normals = np.full((*SIZE_HW, 3), (0, 0, -1), np.float32)
        return Truth(depth_m=np.full(SIZE_HW, 2.0, np.float32), normals=normals, world_from_camera=np.eye(3, 4))

    def run(*, node=RUNS, player=RUNS, frames=(), missing=(), connected=True, timeout_s=60.0):
        monkeypatch.setattr(session, "_LINGER_S", 0.0)
        for name, value in (("frames", frames), ("missing", missing), ("connected", connected)):
            monkeypatch.setattr(Session, name, value)

        def start_module(module, arguments, *, log, environment):
            name = module.rpartition(".")[2]
            command = {"depth_node": node, "image_player": player}[name]
            with log.open("wb") as file:
                process = subprocess.Popen(command, stderr=file, start_new_session=True)
            if command is not RUNS:
                process.wait()
            return Child(name, process, log)

        monkeypatch.setattr(session, "start_module", start_module)
        printed, records = io.StringIO(), []
        demo = DemoSession(
            FrameSource("two images", str(tmp_path), [], paths, truth_of=truth_of),
            NodeOptions(model="demo", provider="cpu", inference_size="native"),
            on_record=records.append,
            live=LiveView(stream=printed, environment={}),
            logs=tmp_path,
            timeout_s=timeout_s,
        )
        rate_hz = demo.run()
        early = len(records)
        progress = list(demo.draw_pending())
        return rate_hz, records, early, progress, printed.getvalue()

    return run


def test_frames_are_measured_as_they_come_and_drawn_after_the_run(demo):
    rate_hz, records, early, progress, _ = demo(frames=[frame(0), frame(1)])
    assert rate_hz > 0
    assert [each.name for each in records] == ["0.png", "1.png"]
    assert [each.figures["abs_rel"] for each in records] == [0.0, 0.0]
    assert early == 0
    assert progress == [(1, 2), (2, 2)]


def test_frames_are_drawn_during_the_run_if_they_take_much_memory(demo, monkeypatch):
    monkeypatch.setattr(session, "_PENDING_BYTES", 1)
    _, records, early, progress, _ = demo(frames=[frame(0), frame(1)])
    assert early == len(records) == 2
    assert progress == []


def test_a_frame_of_another_program_is_not_counted(demo):
    _, records, *_ = demo(frames=[frame(0), frame(4), frame(1)])
    assert [each.index for each in records] == [0, 1]


@pytest.mark.parametrize(
    ("missing", "words"),
    [((), ""), ([("points",), ("normals/image", "points")], "; never came: normals/image, points")],
)
def test_frames_that_did_not_come_back_are_counted_with_what_they_lacked(demo, tmp_path, missing, words):
    rate_hz, records, *_, printed = demo(player=ENDED, frames=[frame(0)], missing=missing)
    assert rate_hz == 0
    assert len(records) == 1
    assert f"1 of 2 frames came back{words}; the logs in {tmp_path} may show why" in printed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"connected": False, "timeout_s": 0.01}, r"depth_node was not ready after 0\.01 s \(--timeout\)"),
        ({"connected": False, "node": FAILED}, r"depth_node ended with exit code 3 before it was ready.*no such file"),
        ({"node": FAILED, "frames": [frame(0)]}, r"depth_node ended with exit code 3 after 0 of 2 frames"),
        ({"player": FAILED}, r"image_player ended with exit code 3; its log .*no such file"),
        ({"player": ENDED}, r"depth_node gave no complete result for any of the 2 frames; its log"),
        ({"player": ENDED, "missing": [("points",)]}, r"any of the 2 frames; never came: points; its log"),
        ({"timeout_s": 0.01}, r"depth_node gave nothing for 0\.01 s at frame 1 of 2 \(--timeout\)"),
        ({"timeout_s": 0.01, "frames": [frame(0)]}, r"gave nothing for 0\.01 s at frame 2 of 2 \(--timeout\)"),
    ],
    ids=["not ready", "ends at once", "ends", "player ends", "nothing", "no points", "silent", "silent after one"],
)
def test_a_demo_that_cannot_go_on_ends_with_the_reason_and_the_log(demo, changes, message):
    with pytest.raises(ChildError, match=f"(?s){message}"):
        demo(**changes)
