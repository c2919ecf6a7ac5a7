"""The viewer's node in this process: what it shows of odd topics, and how it ends with Rerun."""

import argparse
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
pytest.importorskip("rerun.chunk", reason="this rerun-sdk is too old to read recordings back")

import rclpy
import sensor_msgs.msg
from ros_process import enter_environment
from view_recording import CAMERA, DEPTH_M, RGB, STAMPS_NS, header, picture, pixels, rows, rows_with

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.messages import camera_to_camera_info
from metric3d_ros.nodes import view
from metric3d_ros.nodes.ros.run_node import Stop
from metric3d_ros.nodes.viewer import viewer as module
from metric3d_ros.nodes.viewer.rerun_process import ViewerError
from metric3d_ros.nodes.viewer.viewer import Kept, View


@pytest.fixture(autouse=True)
def ros(monkeypatch, environment):
    enter_environment(monkeypatch, environment)
    rclpy.init(args=[])
    yield
    rclpy.try_shutdown()


@pytest.fixture
def open_view(tmp_path):
    """Open a view that records into a file; return it and its stop."""
    opened = []

    def open_view(*words, kept=None):
        parser = argparse.ArgumentParser()
        view.add_arguments(parser)
        stop = Stop()
        options = parser.parse_args(["--save", str(tmp_path / "all.rrd"), *words])
        made = View(options, stop, kept=Kept() if kept is None else kept)
        opened.append(made)
        return made, stop

    yield open_view
    for each in opened:
        each.node.destroy_node()


class StandIn:
    """In the place of the viewer's process."""

    grpc_url = None  # the recording goes into the file alone
    page_url = "http://127.0.0.1:1/"

    def __init__(self, *_, has_ended=False, failure=None, **__):
        self.has_ended, self._failure, self.closed = has_ended, failure, 0

    def failure(self):
        return self._failure

    def close(self):
        self.closed += 1


def show(made, kind, message):
    """Hand a message to the view and wait until it is shown."""
    shown, compare = threading.Event(), made._compare_frame

    def note(*arguments):
        compare(*arguments)
        shown.set()

    made._compare_frame = note
    made._take(kind, message)
    assert shown.wait(60)


def printed(capfd):
    return capfd.readouterr().err


def test_normals_as_a_picture_are_shown_and_an_uncalibrated_camera_info_is_ignored(open_view, tmp_path, capfd):
    made, _ = open_view()
    uncalibrated = camera_to_camera_info(CAMERA, header=header(STAMPS_NS[0]), sensor_msgs=sensor_msgs.msg)
    uncalibrated.k[0] = 0.0
    made._infos[module.DEPTH] = uncalibrated
    show(made, module.NORMALS, picture(RGB, "rgb8", STAMPS_NS[0]))
    show(made, module.DEPTH, picture(DEPTH_M, "32FC1", STAMPS_NS[0]))
    assert made.close()
    found = rows(tmp_path / "all.rrd")
    ((_, row),) = rows_with(found, "/normals", "Image:buffer")
    np.testing.assert_array_equal(pixels(row, "Image", np.uint8, 3), RGB)
    assert len(rows_with(found, "/depth", "DepthImage:buffer")) == 1
    assert not rows_with(found, "/depth", "Pinhole:resolution")
    text = printed(capfd)
    assert "depth's camera_info: " in text
    assert "took 1 from normals, 1 from depth; 0 dropped" in text


def test_the_camera_of_the_other_picture_is_taken_if_it_fits(open_view, tmp_path):
    made, _ = open_view()
    info = camera_to_camera_info(CAMERA, header=header(STAMPS_NS[0]), sensor_msgs=sensor_msgs.msg)
    made._infos[module.IMAGE] = info
    show(made, module.DEPTH, picture(DEPTH_M, "32FC1", STAMPS_NS[0]))
    assert made.close()
    ((_, row),) = rows_with(rows(tmp_path / "all.rrd"), "/depth", "Pinhole:image_from_camera")
    assert row["Pinhole:image_from_camera"].as_py()[0][0] == CAMERA.fx


def test_without_any_topic_there_is_nothing_to_watch_and_the_viewer_is_closed(open_view, monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(module, "RerunProcess", lambda *_, **__: stand_in)
    with pytest.raises(ConfigurationError, match="every topic is '', expected at least one to watch"):
        open_view("--web", "--image", "", "--depth", "", "--normals", "", "--points", "")
    assert stand_in.closed == 1


@pytest.mark.parametrize(
    ("topic", "kind"), [("/cam/image", "Image"), ("/cam/image/compressed", "CompressedImage"), ("", None)]
)
@pytest.mark.parametrize("is_remapped", [False, True])
def test_the_type_of_the_image_follows_from_the_name_that_is_subscribed(open_view, topic, kind, is_remapped):
    words = ["--image", topic]
    if topic and is_remapped:
        rclpy.shutdown()
        rclpy.init(args=["--ros-args", "-r", f"image:={topic}"])
        words = []
    made, _ = open_view(*words)
    kinds = {each.topic_name: each.msg_type.__name__ for each in made.node.subscriptions}
    assert kinds.get(topic) == kind
    assert made.close()


def test_silence_names_the_options(open_view, capfd):
    made, _ = open_view()
    made._say_what_is_quiet()
    assert made.close()
    text = printed(capfd)
    assert "nothing has come yet: see `ros2 topic list`" in text
    assert "took nothing; 0 dropped" in text


@pytest.mark.parametrize(
    ("failure", "error"), [(None, None), (ViewerError("the Rerun viewer ended with exit code 3"), "exit code 3")]
)
def test_the_node_ends_with_its_viewer(open_view, monkeypatch, capfd, failure, error):
    stand_in = StandIn()
    monkeypatch.setattr(module, "RerunProcess", lambda *_, **__: stand_in)
    made, stop = open_view("--web")
    made._look_after_viewer()
    assert not stop.requested
    stand_in.has_ended, stand_in._failure = True, failure
    made._on_error(RuntimeError("the connection is gone"))  # is only what follows from the viewer's end
    assert not stop.requested
    made._look_after_viewer()
    assert stop.requested
    assert (stop.error is None) if error is None else (error in str(stop.error))
    made.close()
    assert stand_in.closed == 1
    assert ("the window was closed" in printed(capfd)) == (failure is None)


def test_what_rerun_raises_ends_the_node(open_view):
    made, stop = open_view()
    made._on_error(RuntimeError("no space"))
    assert str(stop.error) == "Rerun failed: no space"
    made.close()


def test_a_node_that_starts_anew_goes_on_with_the_recording_and_the_viewer(open_view, tmp_path, monkeypatch):
    made_viewers = []

    def make(*_, **__):
        made_viewers.append(StandIn())
        return made_viewers[-1]

    monkeypatch.setattr(module, "RerunProcess", make)
    kept = Kept()
    for stamp_ns, starts_anew in zip(STAMPS_NS, (True, False), strict=True):
        made, stop = open_view("--web", kept=kept)
        show(made, module.DEPTH, picture(DEPTH_M, "32FC1", stamp_ns))
        stop.starts_anew = starts_anew
        assert made.close()
        assert made_viewers[0].closed == (not starts_anew)
    assert len(made_viewers) == 1
    found = rows_with(rows(tmp_path / "all.rrd"), "/depth", "DepthImage:buffer")
    assert [stamp for stamp, _ in found] == STAMPS_NS
    kept.close()
    assert made_viewers[0].closed == 1


def test_what_was_kept_for_a_node_that_never_came_is_closed(open_view, tmp_path, monkeypatch):
    stand_in, kept = StandIn(), Kept()
    monkeypatch.setattr(module, "RerunProcess", lambda *_, **__: stand_in)
    made, stop = open_view("--web", kept=kept)
    show(made, module.DEPTH, picture(DEPTH_M, "32FC1", STAMPS_NS[0]))
    stop.starts_anew = True
    assert made.close()
    kept.close()
    assert stand_in.closed == 1
    assert len(rows_with(rows(tmp_path / "all.rrd"), "/depth", "DepthImage:buffer")) == 1


class Recording:
    """In the place of a recording that a viewer takes, does not take or has lost."""

    def __init__(self, flushed):
        self._flushed, self.closed = flushed, 0

    def flush(self, *, timeout_s):
        if isinstance(self._flushed, Exception):
            raise self._flushed
        return self._flushed

    def close(self):
        self.closed += 1


@pytest.mark.parametrize(("flushed", "done"), [(True, True), (False, False), (RuntimeError("the disk is full"), True)])
def test_the_rest_of_a_recording_is_handed_over_or_reported_as_lost(open_view, capfd, flushed, done):
    made, _ = open_view()
    recording = Recording(flushed)
    assert made._finish_recording(recording) == done
    assert recording.closed == done
    assert made.close()
    lost = "the last messages are lost: the disk is full" in printed(capfd)
    assert lost == isinstance(flushed, Exception)


def test_a_window_stays_open_when_the_node_ends(open_view, capfd):
    made, _ = open_view()
    made._viewer = StandIn()
    assert made.close()
    assert made._viewer.closed == 1  # which leaves a window to its user
    assert "the window stays open: close it when you have seen enough" in printed(capfd)
