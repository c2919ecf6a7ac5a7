"""What an engine does when its provider fails: only auto falls back, and too little memory is told apart."""

from __future__ import annotations

import logging

import numpy as np
import onnxruntime
import pytest
import tiny_models

from metric3d_ros.engine.engine import Engine
from metric3d_ros.errors import InferenceError, OutOfMemoryError


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
    feeds = {"image": np.zeros((1, 30, 40, 3), np.uint8), "focal_length": np.ones(1, np.float32)}
    return float(engine.run(feeds, ["depth"])["depth"][0, 0, 0])


def test_auto_falls_back_to_the_next_provider_with_a_warning(session, caplog):
    cuda = FakeBackend(session, "cuda", 1.0)
    engine = make_engine(cuda, FakeBackend(session, "cpu", 2.0))
    assert (infer(engine), engine.provider) == (1.0, "cuda")
    cuda.failure = FakeError("line\nCUDA failure 700: an illegal memory access was encountered")
    assert (infer(engine), engine.provider) == (2.0, "cpu")
    assert (infer(engine), cuda.runs) == (2.0, 2)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "illegal memory access" in warning
    assert "falls back to cpu" in warning


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
