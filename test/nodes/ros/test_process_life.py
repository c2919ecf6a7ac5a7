"""How node processes start, fail and end: one clear line, the right exit code, and signals at any time."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from ros_process import RosProcess, parameters, running_node


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Model files by kind."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "text.onnx").write_text("this is no model")
    return {
        "good": tiny_models.save_contract_model(folder / "good.onnx"),
        "unrelated": tiny_models.save_unrelated_model(folder / "unrelated.onnx"),
        "text": folder / "text.onnx",
        "missing": folder / "nowhere" / "missing.onnx",
    }


def assert_fails_with_one_line(process, text):
    """The process ends with 1, and beside information there is one line, which says `text`."""
    assert process.wait() == 1
    said = [line for line in process.lines if "[INFO]" not in line]
    assert len(said) == 1, "\n".join(process.lines)
    assert text in said[0]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("missing", "does not exist: name a file, 'demo', or a published model"),
        ("text", "cannot be loaded as an ONNX model"),
        ("unrelated", "which is not a known depth model"),
    ],
)
def test_model_that_cannot_be_used_ends_the_node(environment, models, kind, text):
    with running_node("depth_node", *parameters(model=models[kind]), environment=environment) as process:
        assert_fails_with_one_line(process, text)
        assert "[FATAL]" in process.lines[-1]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"provider": "quantum"}, "parameter provider is 'quantum', expected string auto, "),
        ({"threads": -1}, "parameter threads is -1, expected int 0 to 1024"),
        ({"threads": "many"}, "parameter threads is 'many', expected int"),
        ({"inference_size": "huge"}, "inference_size is 'huge', expected 'native'"),
        ({"intrinsics": "[500.0, 500.0]"}, "parameter intrinsics has 2 numbers, expected 4"),
        ({"intrinsics": "[5.0, 5.0, 1.0, 1.0]", "hfov_deg": 60.0}, "set only one of them"),
    ],
)
def test_parameter_that_cannot_be_used_ends_the_node(environment, models, given, text):
    with running_node("depth_node", *parameters(model=models["good"], **given), environment=environment) as process:
        assert_fails_with_one_line(process, text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--params-file", "{folder}/broken.yaml"], "parameter file {folder}/broken.yaml is no YAML ("),
        (["--params-file", "{folder}/missing.yaml"], "cannot read parameter file {folder}/missing.yaml: "),
        (["--bogus"], "ROS 2 cannot start: "),
    ],
)
def test_ros_arguments_that_cannot_be_used_end_the_node(environment, tmp_path, arguments, text):
    (tmp_path / "broken.yaml").write_text("depth_node: [")
    arguments = [argument.format(folder=tmp_path) for argument in arguments]
    with running_node("depth_node", "--ros-args", *arguments, environment=environment) as process:
        assert_fails_with_one_line(process, "depth_node: error: " + text.format(folder=tmp_path))


def test_misspelt_parameter_is_warned_about_with_the_nearest_name(environment, models):
    given = parameters(model=models["good"], inference_sise="trained")
    with running_node("depth_node", *given, environment=environment) as process:
        line = process.wait_for("inference_sise")
        assert "[WARN]" in line
        assert "did you mean inference_size?" in line
        process.wait_for("ready")


def test_integer_is_welcome_where_a_number_is_expected(environment, models):
    given = parameters(model=models["good"], hfov_deg=60)
    with running_node("depth_node", *given, environment=environment) as process:
        process.wait_for("ready: waiting for /image")


def test_missing_onnxruntime_is_named_with_the_pip_line(environment, models, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')")
    environment["PYTHONPATH"] = str(tmp_path)
    with running_node("depth_node", *parameters(model=models["good"]), environment=environment) as process:
        assert_fails_with_one_line(process, "pip install onnxruntime")


def test_missing_rclpy_is_named_with_both_remedies(tmp_path):
    code = textwrap.dedent("""
        from importlib.machinery import PathFinder
        find = PathFinder.find_spec
        PathFinder.find_spec = lambda name, *rest: None if name == "rclpy" else find(name, *rest)
        import metric3d_ros.nodes.depth_node
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "source /opt/ros/jazzy/setup.bash" in done.stderr
    assert "pip install '.[ros]'" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_node_cleanly(environment, models, number):
    with running_node("depth_node", *parameters(model=models["good"]), environment=environment) as process:
        process.wait_for("ready")
        process.signal(number)
        assert process.wait(timeout_s=10) == 0
        assert not [line for line in process.lines if "[INFO]" not in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["depth_node", "image_player"])
def test_signal_during_imports_ends_the_node_cleanly(environment, tmp_path, name, number):
    (tmp_path / "cv2.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)")
    environment["PYTHONPATH"] = str(tmp_path)
    with running_node(name, environment=environment) as process:
        process.wait_for("importing")
        process.signal(number)
        assert process.wait(timeout_s=10) == 0
        assert process.lines == ["importing"]


def test_signals_that_keep_coming_do_not_break_the_end(environment, models):
    with running_node("depth_node", *parameters(model=models["good"]), environment=environment) as process:
        process.wait_for("ready")
        for number in [signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGINT]:
            process.signal(number)
        assert process.wait(timeout_s=10) == 0
        assert not [line for line in process.lines if "[INFO]" not in line]


BUSY_NODE = """
import sys, threading, time
from metric3d_ros.nodes.ros.run_node import create_node, run_node
from metric3d_ros.nodes.pipeline.scheduler import Scheduler

class Busy:
    def __init__(self, options, stop):
        self.node = create_node("busy")
        self.scheduler = Scheduler(prepare=self.work, work=print, on_error=print, name="busy")
        self.scheduler.start()

    def work(self):
        print("busy", flush=True)
        time.sleep(60)

    def close(self):
        return self.scheduler.stop(timeout_s=0.2)

sys.exit(run_node("busy", Busy))
"""


def test_signal_ends_a_node_whose_inference_takes_a_minute(environment):
    process = RosProcess([sys.executable, "-u", "-c", BUSY_NODE], environment)
    try:
        process.wait_for("busy")
        time.sleep(0.5)
        process.signal(signal.SIGINT)
        assert process.wait(timeout_s=10) == 0
    finally:
        process.close()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "transport: Fast DDS with"),
        (
            ["--shared-memory-mib", "0", "--no-keep-buffers"],
            "transport: Fast DDS left as it is, as asked for; allocator",
        ),
    ],
)
def test_one_line_says_what_was_done_for_the_transport(environment, models, arguments, text):
    command = [*arguments, *parameters(model=models["good"])]
    with running_node("depth_node", *command, environment=environment) as process:
        process.wait_for("ready")
        said = [line for line in process.lines if "transport:" in line]
        assert len(said) == 1
        assert text in said[0]
