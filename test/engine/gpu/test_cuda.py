"""Runs on a GPU, with a stand-in for ONNX Runtime: when a graph is captured, replayed, dropped and given up."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import fake_runtime
import numpy as np
import pytest
import tiny_models
from fake_runtime import FakeError

from metric3d_ros.engine import DEMO_MODEL_PATH
from metric3d_ros.engine.gpu import cuda
from metric3d_ros.engine.gpu.cuda import FRAMES_BEFORE_CAPTURE, CudaRunner, read_output_shapes
from metric3d_ros.engine.gpu.host_buffers import HostBuffers
from metric3d_ros.engine.providers import Tuning, session_providers
from metric3d_ros.engine.sessions import import_runtime

NAMES = ["depth", "normal"]


def compute(inputs):
    image, focal_px = inputs["image"].astype(np.float32), inputs["focal_length"]
    return {"depth": image[..., 0] * focal_px[:, None, None], "normal": image / 255}


def make_runner(*, graphs=True, copy_to_host=fake_runtime.copy_to_host):
    session = fake_runtime.Session(compute)

    def output_shape(name, feeds):
        return feeds["image"].shape[:3] if name == "depth" else feeds["image"].shape

    runner = CudaRunner(
        fake_runtime.runtime(),
        session,
        HostBuffers(None),
        output_shape=output_shape,
        copy_to_host=copy_to_host,
        graphs=graphs,
    )
    return runner, session


def feeds(level=1, *, hw=(4, 6), batch=1):
    image = np.random.default_rng(level).integers(0, 255, (batch, *hw, 3), np.uint8)
    return {"image": image, "focal_length": np.full(batch, 10.0 + level, np.float32)}


def check(runner, given, names=NAMES):
    expected = compute(given)
    for name, result in zip(names, runner.run(names, given), strict=True):
        np.testing.assert_array_equal(result, expected[name])


def test_every_run_gives_what_the_model_gives_before_and_after_the_capture():
    runner, session = make_runner()
    for level in range(2 * FRAMES_BEFORE_CAPTURE):
        check(runner, feeds(level))
    assert session.runs == ["-1"] * FRAMES_BEFORE_CAPTURE + ["1"] * FRAMES_BEFORE_CAPTURE
    assert runner.has_graph


def test_results_stay_as_they_are_while_the_next_frames_are_worked_on():
    runner, _ = make_runner()
    kept = [(feeds(level), runner.run(NAMES, feeds(level))) for level in range(3 * FRAMES_BEFORE_CAPTURE)]
    for given, results in kept:
        for name, result in zip(NAMES, results, strict=True):
            np.testing.assert_array_equal(result, compute(given)[name])


@pytest.mark.parametrize(
    ("given", "names"),
    [(feeds(hw=(6, 4)), NAMES), (feeds(batch=2), NAMES), (feeds(), ["depth"])],
    ids=["size", "batch", "outputs"],
)
def test_a_change_drops_the_graph_and_a_new_one_is_captured_in_time(given, names):
    runner, session = make_runner()
    for _ in range(FRAMES_BEFORE_CAPTURE + 2):
        check(runner, feeds())
    for _ in range(FRAMES_BEFORE_CAPTURE):
        check(runner, given, names)
        assert not runner.has_graph
    assert session.released == [1]
    check(runner, given, names)
    assert session.runs[-1] == "2"


def test_sizes_in_turn_capture_nothing():
    runner, session = make_runner()
    for _ in range(3 * FRAMES_BEFORE_CAPTURE):
        check(runner, feeds(hw=(4, 6)))
        check(runner, feeds(hw=(6, 4)))
    assert set(session.runs) == {"-1"}


def test_a_capture_that_fails_is_said_once_and_not_tried_again(caplog):
    runner, session = make_runner()
    session.fail_with["1"] = FakeError("operation not permitted when stream is capturing\nmore")
    for level in range(3 * FRAMES_BEFORE_CAPTURE):
        check(runner, feeds(level))
    assert session.runs.count("1") == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "operation not permitted" in warnings[0]
    assert "\n" not in warnings[0]


def test_a_run_that_fails_without_a_graph_is_the_callers_to_handle():
    runner, session = make_runner()
    session.fail_with["-1"] = FakeError("CUDA failure 700")
    with pytest.raises(FakeError):
        runner.run(NAMES, feeds())
    del session.fail_with["-1"]
    check(runner, feeds())


def test_without_graphs_every_run_is_plain():
    runner, session = make_runner(graphs=False)
    for level in range(2 * FRAMES_BEFORE_CAPTURE):
        check(runner, feeds(level))
    assert set(session.runs) == {"-1"}


@pytest.mark.parametrize("copy_to_host", [None, lambda *_: False], ids=["no driver", "failing driver"])
def test_what_the_driver_does_not_copy_the_runtime_does(copy_to_host):
    runner, session = make_runner(copy_to_host=copy_to_host)
    for level in range(2 * FRAMES_BEFORE_CAPTURE):
        check(runner, feeds(level))
    assert session.runs[-1] == "1"


def test_the_real_runtimes_bindings_take_memory_of_ours(tmp_path):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    real = import_runtime()
    session = real.open_session(path, "cpu", Tuning())

    def output_shape(name, given):
        shape = given["image"].shape
        return shape if name == "normal" else shape[:3]

    runner = CudaRunner(real, session, HostBuffers(None), output_shape=output_shape, copy_to_host=None, graphs=False)
    given = feeds(hw=(30, 41), batch=2)
    for name, result in zip(NAMES, runner.run(NAMES, given), strict=True):
        np.testing.assert_array_equal(result, session.run([name], given)[0])


def test_shapes_of_outputs_follow_from_the_names_of_dimensions(tmp_path):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    output_shape = read_output_shapes(import_runtime().open_session(path, "cpu", Tuning()))
    given = feeds(hw=(30, 41), batch=2)
    assert output_shape("depth", given) == (2, 30, 41)
    assert output_shape("normal", given) == (2, 30, 41, 3)


def test_shapes_that_are_not_named_after_the_inputs_are_unknown(tmp_path):
    runtime = import_runtime()
    for path in (
        tiny_models.save_onnx_community_model(tmp_path / "community.onnx"),
        tiny_models.save_authors_model(tmp_path / "authors.onnx", size_hw=(56, 84)),
    ):
        assert read_output_shapes(runtime.open_session(path, "cpu", Tuning())) is None


def test_the_models_of_our_exporter_name_their_dimensions():
    session = import_runtime().open_session(DEMO_MODEL_PATH, "cpu", Tuning())
    assert read_output_shapes(session)("normal", feeds(hw=(30, 41), batch=2)) == (2, 30, 41, 3)


class SessionOnCpu:
    """Opens a session of the CPU in place of CUDA's, and notes the tuning."""

    module, errors, version = SimpleNamespace(), (FakeError,), "0"

    def open_session(self, path, provider, tuning):
        assert provider == "cuda"
        self.asked = session_providers(provider, tuning)[0][1]
        return import_runtime().open_session(path, "cpu", tuning)


@pytest.mark.parametrize(("staging", "locked", "graphs"), [("page-locked", True, "1"), ("pageable", False, "1")])
def test_staging_decides_whether_host_memory_is_page_locked(monkeypatch, staging, locked, graphs):
    driver, lockers = SimpleNamespace(copy_to_host=fake_runtime.copy_to_host), []
    monkeypatch.setattr(cuda.CudaDriver, "load", lambda: driver)
    monkeypatch.setattr(cuda, "HostBuffers", lambda locker: lockers.append(locker) or HostBuffers(None))
    runtime = SessionOnCpu()
    cuda.open_cuda(runtime, DEMO_MODEL_PATH, Tuning(cuda_staging=staging))
    assert lockers == [driver if locked else None]
    assert runtime.asked["enable_cuda_graph"] == graphs


def test_without_staging_of_our_own_there_are_no_graphs_and_no_buffers(monkeypatch):
    monkeypatch.setattr(cuda, "HostBuffers", lambda _: pytest.fail("no buffers are needed"))
    runtime = SessionOnCpu()
    backend = cuda.open_cuda(runtime, DEMO_MODEL_PATH, Tuning(cuda_staging="runtime"))
    assert runtime.asked["enable_cuda_graph"] == "0"
    image = np.full((1, 56, 84, 3), 128, np.uint8)
    (depth,) = backend.run(["depth"], {"image": image, "focal_length": np.array([80], np.float32)})
    assert depth.shape == (1, 56, 84)
