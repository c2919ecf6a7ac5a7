"""What an engine does when its provider fails: only auto falls back, and want of memory is told apart."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap

import numpy as np
import onnxruntime
import pytest
import tiny_models

from metric3d_ros.engine import Tuning, open_engine
from metric3d_ros.engine.engine import Engine
from metric3d_ros.engine.providers import PROVIDERS, session_providers
from metric3d_ros.engine.runtime import is_out_of_memory
from metric3d_ros.errors import InferenceError, OutOfMemoryError, ProviderError


class FakeError(Exception):
    pass


class InvalidArgumentError(FakeError):
    pass


class FakeBackend:
    """Has the signature of a real model and answers with its own number, or fails."""

    remark = ""

    def __init__(self, session, provider, depth=1.0, failure=None):
        self.session, self.provider, self.depth, self.failure, self.runs = session, provider, depth, failure, 0

    def run(self, names, feeds):
        self.runs += 1
        if self.failure is not None:
            raise self.failure
        return [np.full(feeds["image"].shape[:3], self.depth, np.float32) for _ in names]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    path = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def make_engine(first, *others, auto=True):
    backends = iter(others)
    return Engine(
        first, model_name="tiny", run_errors=(FakeError,), open_next=(lambda: next(backends, None)) if auto else None
    )


def infer(engine):
    depth = engine.infer(np.zeros((1, 30, 40, 3), np.uint8), np.ones(1, np.float32), outputs={"depth"})["depth"]
    return float(depth[0, 0, 0])


def test_auto_goes_on_with_the_next_provider_and_says_so(session, caplog):
    cuda = FakeBackend(session, "cuda", 1.0)
    engine = make_engine(cuda, FakeBackend(session, "cpu", 2.0))
    assert (infer(engine), engine.provider) == (1.0, "cuda")
    cuda.failure = FakeError("line\nCUDA failure 700: an illegal memory access was encountered")
    assert (infer(engine), engine.provider) == (2.0, "cpu")
    assert (infer(engine), cuda.runs) == (2.0, 2)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "illegal memory access" in warning
    assert "goes on with cpu" in warning


def test_a_failure_without_words_is_named_by_its_kind(session):
    engine = make_engine(FakeBackend(session, "cuda", failure=FakeError()), auto=False)
    with pytest.raises(InferenceError, match="provider cuda: FakeError"):
        infer(engine)


def test_a_provider_that_was_named_is_not_left(session):
    engine = make_engine(FakeBackend(session, "cuda", failure=FakeError("CUDA failure 700")), auto=False)
    with pytest.raises(InferenceError, match=r"provider cuda: CUDA failure 700.*auto"):
        infer(engine)
    assert engine.provider == "cuda"


def test_an_input_on_which_every_provider_fails_changes_nothing(session):
    cuda, cpu = FakeBackend(session, "cuda", failure=FakeError("bad node")), FakeBackend(session, "cpu", 2.0)
    cpu.failure = FakeError("bad node")
    engine = make_engine(cuda, cpu)
    for _ in range(2):
        with pytest.raises(InferenceError, match="with provider cpu as well"):
            infer(engine)
    assert engine.provider == "cuda"
    cpu.failure = None
    assert (infer(engine), engine.provider) == (2.0, "cpu")


def test_an_input_that_does_not_fit_the_model_does_not_cost_the_provider(session):
    cuda, cpu = FakeBackend(session, "cuda", failure=InvalidArgumentError("wrong rank")), FakeBackend(session, "cpu")
    with pytest.raises(InferenceError, match="wrong rank"):
        infer(make_engine(cuda, cpu))
    assert cpu.runs == 0


def test_the_last_provider_that_fails_is_an_error(session):
    with pytest.raises(InferenceError, match="bad node"):
        infer(make_engine(FakeBackend(session, "cpu", failure=FakeError("bad node"))))


@pytest.mark.parametrize(
    "text",
    [
        "bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 939524096",
        "CUDA failure 2: out of memory ; GPU=0",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "Exception: std::bad_alloc",
    ],
)
def test_want_of_memory_is_told_apart_and_no_reason_to_leave_the_provider(session, text):
    cuda, cpu = FakeBackend(session, "cuda", failure=FakeError(text)), FakeBackend(session, "cpu")
    with pytest.raises(OutOfMemoryError, match=r"1x30x40x3 input with provider cuda: out of memory"):
        infer(make_engine(cuda, cpu))
    assert cpu.runs == 0


def test_other_failures_are_no_want_of_memory():
    assert not is_out_of_memory(FakeError("CUDA failure 700: an illegal memory access was encountered"))
    assert is_out_of_memory(MemoryError())


def test_a_process_that_has_too_little_memory_says_so_and_runs_a_smaller_image():
    code = """
        import resource
        import numpy as np
        from metric3d_ros.engine import open_engine
        from metric3d_ros.errors import OutOfMemoryError

        engine = open_engine(provider="cpu", threads=1)

        def infer(height, width):
            image = np.zeros((1, height, width, 3), np.uint8)
            return engine.infer(image, np.ones(1, np.float32), outputs={"depth"})["depth"].shape

        infer(56, 56)
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (200 << 20),) * 2)
        try:
            infer(1120, 1120)
        except OutOfMemoryError as error:
            print(type(error).__name__, infer(112, 112))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout.strip() == "OutOfMemoryError (1, 112, 112)", result.stderr


def test_options_of_each_provider_follow_from_the_tuning():
    tuning = Tuning(threads=3, openvino_precision="bf16", cuda_conv_search="heuristic", tensorrt_fp16=True)
    (openvino, openvino_options), (below, _) = session_providers("openvino", tuning)
    assert (openvino, below) == ("OpenVINOExecutionProvider", "CPUExecutionProvider")
    assert '"INFERENCE_PRECISION_HINT": "bf16"' in openvino_options["load_config"]
    assert '"INFERENCE_NUM_THREADS": "3"' in openvino_options["load_config"]
    (cuda, cuda_options), _ = session_providers("cuda", tuning)
    assert cuda == "CUDAExecutionProvider"
    assert (cuda_options["cudnn_conv_algo_search"], cuda_options["enable_cuda_graph"]) == ("HEURISTIC", "1")
    (tensorrt, tensorrt_options), (below_tensorrt, rest), _ = session_providers("tensorrt", tuning, {"more": "1"})
    assert (tensorrt, below_tensorrt) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert tensorrt_options == {"trt_fp16_enable": "1", "more": "1"}
    assert rest["enable_cuda_graph"] == "0"


def test_every_provider_says_what_to_install():
    assert all("pip install" in provider.remedy for provider in PROVIDERS.values())


def test_threads_keep_to_the_cores_that_are_named():
    code = """
        import os
        import numpy as np
        import onnxruntime
        from metric3d_ros.engine import Tuning, open_engine

        core = max(os.sched_getaffinity(0))
        before = set(os.listdir("/proc/self/task"))
        engine = open_engine(provider="cpu", threads=3, tuning=Tuning(cpus=(core,)))
        engine.infer(np.zeros((1, 56, 56, 3), np.uint8), np.ones(1, np.float32), outputs={"depth"})
        started = set(os.listdir("/proc/self/task")) - before
        assert len(started) >= 2, started
        print({core} == set().union(*(os.sched_getaffinity(int(thread)) for thread in started)))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout.strip() == "True", result.stderr


def test_a_core_that_is_not_there_is_refused(tmp_path):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    with pytest.raises(ProviderError, match=r"cpus are 100000, expected cores"):
        open_engine(path, provider="cpu", tuning=Tuning(cpus=(100000,)))


@pytest.mark.parametrize("tuning", [Tuning(spinning=False), Tuning(threads=1), Tuning()])
def test_tuning_changes_no_result(tuning):
    image = np.random.default_rng(0).integers(0, 255, (1, 60, 90, 3), np.uint8)
    plain = open_engine(provider="cpu").infer(image, np.ones(1, np.float32), outputs={"depth"})["depth"]
    engine = open_engine(provider="cpu", threads=tuning.threads, tuning=tuning)
    tuned = engine.infer(image, np.ones(1, np.float32), outputs={"depth"})["depth"]
    np.testing.assert_allclose(tuned, plain, rtol=1e-5)
