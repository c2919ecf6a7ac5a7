"""A node that downloads its model tells how far it is, ends when asked, and goes on where another one died."""

import hashlib
import json
import signal
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import node_of_stand_ins
from camera_bench import CameraBench, picture
from checkpoints import made_up_weights, write_pth
from diagnostic_msgs.msg import DiagnosticArray
from hub_server import serve_hub
from ros_process import RosProcess, TestBench, next_domain, parameters, ros_environment
from sensor_msgs.msg import Image

from metric3d_ros.hub.published import REPOSITORY, REVISION
from metric3d_ros.hub.variants import FILES

VARIANT = "vit_small"
HELD_BYTES = 64_000_000
"""Of a checkpoint of 150 MB: 43 %."""
IN_TIME_S = 5.0
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return write_pth(tmp_path_factory.mktemp("checkpoint") / "c.pth", made_up_weights(VARIANT)).read_bytes()


@pytest.fixture
def hub(content):
    with serve_hub() as server:
        server.files[f"{REPOSITORY}/resolve/{REVISION}/{FILES[VARIANT]}"] = content
        yield server


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "metric3d"


@pytest.fixture
def start(hub, content, tmp_path):
    """Start a node that wants the model; all of them are ended afterwards."""
    processes = []

    def start_node(domain=None, *, name="depth_node", **more):
        sha256 = hashlib.sha256(content).hexdigest()
        environment = ros_environment(
            tmp_path / "log",
            next_domain() if domain is None else domain,
            HF_ENDPOINT=hub.url,
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            **{node_of_stand_ins.STAND_INS: json.dumps({VARIANT: sha256})} | more,
        )
        arguments = [*parameters(model=VARIANT, provider="cpu"), "-r", f"__node:={name}"]
        processes.append(RosProcess([sys.executable, node_of_stand_ins.__file__, *arguments], environment))
        return processes[-1]

    yield start_node
    for process in processes:
        process.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_the_step_is_told_and_depth_comes_in_the_end(hub, start, cache):
    hub.hold_after = HELD_BYTES
    domain = next_domain()
    node, bench = start(domain), TestBench(domain)
    try:
        states = bench.listen(DiagnosticArray, "/diagnostics")

        def says(text):
            return any(
                text in status.message
                for status in (states[-1].status if states else ())
                if status.name == "depth_node: model"
            )

        assert bench.spin_until(lambda: says("downloading vit_small, 43 %"), timeout_s=PATIENCE_S), states[-1:]
        node.wait_for("commercial use")
        node.wait_for("downloading vit_small, ")
        hub.go_on.set()
        node.wait_for("ready: waiting for", timeout_s=PATIENCE_S)
        node.wait_for("published for vit_small was measured with inference_size 'published'")
        assert not any("\r" in line or "%|" in line for line in node.lines), "there is a bar"
        camera = CameraBench(bench, {"depth/image": Image})
        camera.connect()
        header = camera.show(picture())
        depth = camera.results(header)["depth/image"]
        assert (depth.width, depth.height) == (64, 48)
        assert names(cache / "models") == [".vit_small.onnx.lock", "vit_small.onnx", "vit_small.onnx.record.json"]
    finally:
        bench.close()


def test_sigterm_ends_a_download_in_time_and_the_next_node_goes_on_with_it(hub, start):
    hub.hold_after = HELD_BYTES
    node = start()
    node.wait_for("downloading vit_small, ")
    assert hub.holding.wait(PATIENCE_S)
    began_s = time.monotonic()
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    assert time.monotonic() - began_s < IN_TIME_S
    assert not any("Traceback" in line for line in node.lines)
    hub.hold_after = None
    hub.go_on.set()
    start().wait_for("ready: waiting for", timeout_s=PATIENCE_S)
    first, second = hub.ranges_asked
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= HELD_BYTES


def test_of_two_nodes_one_downloads_and_if_it_is_killed_the_other_goes_on(hub, start, cache):
    hub.hold_after = HELD_BYTES
    first = start()
    first.wait_for("downloading vit_small, ")
    assert hub.holding.wait(PATIENCE_S)
    second = start()
    second.wait_for("waiting for another process that makes vit_small", timeout_s=PATIENCE_S)
    third = start()
    third.wait_for("waiting for another process that makes vit_small", timeout_s=PATIENCE_S)
    third.signal(signal.SIGTERM)
    assert third.wait(timeout_s=IN_TIME_S) == 0
    assert hub.ranges_asked == [None]
    hub.hold_after = None
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    second.wait_for("ready: waiting for", timeout_s=PATIENCE_S)
    assert len(hub.ranges_asked) == 2
    assert hub.ranges_asked[1].startswith("bytes=")
    start().wait_for("ready: waiting for", timeout_s=PATIENCE_S)
    assert len(hub.ranges_asked) == 2
    assert names(cache / "models") == [".vit_small.onnx.lock", "vit_small.onnx", "vit_small.onnx.record.json"]


def test_a_node_that_is_killed_while_it_assembles_leaves_nothing_for_long(hub, start, cache):
    node = start()
    node.wait_for("comparing with the published operations", timeout_s=PATIENCE_S)
    node.signal(signal.SIGKILL)
    node.wait()
    assert "vit_small.onnx" not in names(cache / "models")
    start().wait_for("ready: waiting for", timeout_s=PATIENCE_S)
    assert hub.ranges_asked == [None]
    assert names(cache / "models") == [".vit_small.onnx.lock", "vit_small.onnx", "vit_small.onnx.record.json"]


def test_a_model_that_cannot_be_had_ends_the_node_with_one_line(hub, start, cache):
    hub.files.clear()
    node = start()
    assert node.wait() == 1
    fatal = [line for line in node.lines if "[FATAL]" in line]
    assert len(fatal) == 1
    assert not any("Traceback" in line for line in node.lines)
    assert "answered 404" in fatal[0]
    assert f"copy it to {cache}" in fatal[0]
    assert names(cache / "models") == [".vit_small.onnx.lock"]
