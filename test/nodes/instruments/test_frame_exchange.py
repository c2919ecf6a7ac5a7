"""A depth_node that gets one frame after another over DDS, as `node_sequences` sends a flight through it."""

import os

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from ros_process import next_domain, ros_environment

from metric3d_ros.camera import Camera
from metric3d_ros.errors import Metric3DError
from metric3d_ros.evaluation.flights import FlightFrame
from metric3d_ros.evaluation.node_sequences import DEPTH, GROUND, SCALE, TIMING, WRONG_SCALE, fly
from metric3d_ros.nodes.instruments import frame_exchange
from metric3d_ros.nodes.instruments.frame_exchange import FrameExchange
from metric3d_ros.world.rendering.viewpoint import look

CAMERA = Camera(84, 56, 500.0, 500.0, 40.0, 30.0)
LEVELS = (120, 128, 136)


@pytest.fixture(autouse=True)
def own_domain(monkeypatch, tmp_path):
    """A domain of this test's own; what the exchange sets in the environment is taken back."""
    domain = next_domain()
    monkeypatch.setattr(frame_exchange, "_DOMAINS", [domain])
    before, environment = dict(os.environ), ros_environment(tmp_path / "log", domain, METRIC3D_KEEP_BUFFERS="0")
    os.environ.clear()
    os.environ.update(environment)
    yield
    os.environ.clear()
    os.environ.update(before)


def true_depth_m(level):
    return level * tiny_models.METRES_PER_LEVEL * CAMERA.fx / 1000


def walls():
    """Frames of a wall that goes away, whose grey is what the tiny model takes for its distance."""
    pose = look((0.0, 0.0, 1.0), yaw=0.0, pitch=0.0)
    shape = CAMERA.size_hw
    for level in LEVELS:
        depth = np.full(shape, true_depth_m(level), np.float32)
        normals = np.full((*shape, 3), (0, 0, -1), np.float32)
        rgb = np.full((*shape, 3), level, np.uint8)
        yield FlightFrame(rgb, CAMERA, depth, normals, np.zeros(shape, bool), pose)


def test_each_frame_gets_its_answer(model):
    answers = fly(list(walls()), {"model": str(model), "threads": 1, "edges.remove": True})
    assert len(answers.messages) == len(answers.depths_m) == len(LEVELS)
    for level, depth, messages in zip(LEVELS, answers.depths_m, answers.messages, strict=True):
        np.testing.assert_allclose(depth, np.full(CAMERA.size_hw, true_depth_m(level)), rtol=1e-5)
        assert {DEPTH, "points", "normals/image", TIMING} <= set(messages)
        assert {GROUND, SCALE}.isdisjoint(messages), "a wall is no ground, and no source of the scale is set"
        assert messages["points"].header == messages[DEPTH].header
    stamps = [messages[DEPTH].header.stamp for messages in answers.messages]
    assert [(stamp.sec, stamp.nanosec) for stamp in stamps] == [(1000, 0), (1000, 100_000_000), (1000, 200_000_000)]
    assert all(total > infer > 0 for total, infer in zip(*map(answers.times_ms, ("total", "infer")), strict=True))
    assert answers.times_ms("no such stage") == [0, 0, 0]


def test_ranges_correct_a_focal_length_that_is_wrong(model):
    def wrong(camera):
        return Camera(84, 56, WRONG_SCALE * 500, WRONG_SCALE * 500, 40.0, 30.0)

    answers = fly(list(walls()), {"model": str(model), "threads": 1}, camera=wrong, with_ranges=True)
    assert float(answers.messages[-1][SCALE]["factor"]) == pytest.approx(1 / WRONG_SCALE, rel=0.01)
    np.testing.assert_allclose(answers.depths_m[-1], true_depth_m(LEVELS[-1]), rtol=0.01)


def test_a_node_that_does_not_answer_in_time_is_an_error_and_is_ended(model):
    (frame, *_) = walls()
    with FrameExchange(parameters={"model": str(model), "points.stride": 2}, topics=[DEPTH]) as node:
        with pytest.raises(Metric3DError, match="depth_node did not answer within 0 s"):
            node.exchange(frame.rgb, CAMERA, 0.0, timeout_s=0.0)
        process = node._process
        assert process.poll() is None
    assert process.poll() is not None


def test_a_node_that_ended_by_itself_does_not_hide_the_error(model):
    def fail_once_it_has_ended():
        with FrameExchange(parameters={"model": str(model)}, topics=[DEPTH]) as node:
            node._process.kill()
            node._process.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_once_it_has_ended()
