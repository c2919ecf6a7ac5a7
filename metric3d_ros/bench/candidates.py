"""Candidates: model files and PyTorch behind one interface that runs them once on the benchmark's image."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.camera import Camera
from metric3d_ros.engine import Tuning
from metric3d_ros.errors import InferenceError
from metric3d_ros.estimation.depth_model import DepthModel, open_model
from metric3d_ros.estimation.estimator import CONFIDENCE, DEPTH, NORMALS, Estimator
from metric3d_ros.files.atomic import scratch_folder
from metric3d_ros.program import describe_failure

FP32, UNKNOWN = "fp32", "unknown"
HOST_PROVIDERS = ("cpu", "openvino")
"""Providers that compute on the CPU; all others have a device of their own."""

PROVIDER_READY_S = 3600.0
"""TensorRT may take this long for a large model."""
_READY_POLL_S = 0.5

Maps = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One thing to time: a model file on a provider, or PyTorch."""

    name: str
    """What it is in a table, without precision and provider."""
    model: str
    """Path of the file, "demo", or for PyTorch the variant's name."""
    provider: str
    """A key of `engine.PROVIDERS`; for PyTorch where it computes, cpu or cuda."""
    precision: str
    """From the file's metadata; `UNKNOWN` without."""
    variant: str | None
    """None for a file without metadata."""
    weights_sha256: str | None
    """Of the weights before any reduction of precision; None for a file without metadata."""
    stand_in_weights: bool
    computed_in: str = ""
    """The precision that the provider computes a float32 file in, such as bf16; "" for the file's own."""
    in_pytorch: bool = False

    @property
    def reduced(self) -> bool:
        """Whether its precision is one that may change results."""
        return bool(self.computed_in) or self.precision not in (FP32, UNKNOWN)

    @property
    def tuning(self) -> Tuning:
        """How the provider is set up."""
        return Tuning(openvino_precision=self.computed_in) if self.computed_in else Tuning()

    @property
    def label(self) -> str:
        precision = f"{self.precision} in {self.computed_in}" if self.computed_in else self.precision
        return f"{self.name}, {precision}, {self.provider}"


@dataclass(frozen=True, kw_only=True)
class Task:
    """The input of every candidate."""

    rgb: npt.NDArray[np.uint8]
    """(H, W, 3)."""
    camera: Camera
    threads: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """One image, from its pixels in memory to its outputs in memory.

    `total_ms` is in wall time, `cpu_ms` the time of all threads of the process, `stages_ms` the parts of the total:
    prepare, infer, finish.
    """

    total_ms: float
    cpu_ms: float
    stages_ms: dict[str, float]


class Runner(Protocol):
    """A candidate that is loaded."""

    @property
    def available(self) -> frozenset[str]:
        """The outputs that it has: "depth", "confidence", "normals"."""

    @property
    def fixed_size_hw(self) -> tuple[int, int] | None:
        """(height, width) of the only images that it takes as they are; None if any size goes."""

    def run(self, outputs: Collection[str]) -> Run:
        """Run it once; raises InferenceError if that fails."""

    def maps(self, outputs: Collection[str]) -> Maps:
        """Run it once and return depth (H, W) in metres, confidence (H, W) and normals (H, W, 3), as far as asked."""

    def close(self) -> None:
        """Free its memory."""


def open_runner(candidate: Candidate, task: Task) -> Runner:
    """Load a candidate. Raises ModelError, ProviderError or InferenceError if it cannot run here."""
    return TorchRunner(candidate, task) if candidate.in_pytorch else EngineRunner(candidate, task)


class EngineRunner:
    """A model file in this process."""

    def __init__(self, candidate: Candidate, task: Task) -> None:
        self._task = task
        self._candidate = candidate
        self._model: DepthModel | None = open_model(
            candidate.model, provider=candidate.provider, threads=task.threads, tuning=candidate.tuning
        )
        self._estimator = Estimator(self._model)
        self.available = available_outputs(self._model)
        self.fixed_size_hw = self._model.fixed_size_hw

    def run(self, outputs: Collection[str]) -> Run:
        """Run it once; InferenceError if another provider than the one to be timed did it."""
        cpu_s, started_s = time.process_time(), time.perf_counter()
        estimate = self._estimator.estimate(self._task.rgb, self._task.camera, outputs=outputs)
        total_ms = (time.perf_counter() - started_s) * 1e3
        cpu_ms = (time.process_time() - cpu_s) * 1e3
        if self._provider != self._candidate.provider:
            raise InferenceError(f"{self._candidate.label} was run by {self._provider}")
        return Run(total_ms=total_ms, cpu_ms=cpu_ms, stages_ms=dict(estimate.timings_ms))

    def maps(self, outputs: Collection[str]) -> Maps:
        """Run it once the provider is ready, and return copies of its outputs."""
        deadline_s = time.monotonic() + PROVIDER_READY_S
        while True:
            estimate = self._estimator.estimate(self._task.rgb, self._task.camera, outputs=outputs)
            if self._provider == self._candidate.provider:
                break
            # TensorRT's engine is built in the background, and another provider serves meanwhile.
            if time.monotonic() > deadline_s:
                raise InferenceError(
                    f"{self._candidate.provider} was not ready within {PROVIDER_READY_S:.0f} s: {self._provider} ran it"
                )
            time.sleep(_READY_POLL_S)
        found = {DEPTH: estimate.depth_m, CONFIDENCE: estimate.confidence, NORMALS: estimate.normals}
        return {name: array.copy() for name, array in found.items() if name in outputs and array is not None}

    def close(self) -> None:
        """Free the session."""
        self._model = None
        del self._estimator

    @property
    def _provider(self) -> str:
        assert self._model is not None, "closed"
        return self._model.provider


class TorchRunner:
    """The network in PyTorch, in a process of its own: nothing here imports the export tool.

    `python -m metric3d_export.pytorch_runner` answers each line that it reads with one line of JSON.
    """

    fixed_size_hw: tuple[int, int] | None = None

    def __init__(self, candidate: Candidate, task: Task) -> None:
        self._open = contextlib.ExitStack()
        self._folder = self._open.enter_context(scratch_folder("metric3d_bench"))
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        image = self._folder / "image.npy"
        np.save(image, task.rgb)
        command = [sys.executable, "-m", "metric3d_export.pytorch_runner", candidate.model, str(image)]
        command += ["--focal", str(task.camera.focal_px), "--threads", str(task.threads)]
        command += ["--device", candidate.provider, "--precision", candidate.precision]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        try:
            self.available = frozenset(self._ask("outputs")["outputs"])
        except InferenceError:
            self.close()
            raise

    def run(self, outputs: Collection[str]) -> Run:
        """Run it once; it always computes all outputs."""
        answer = self._ask("run")
        return Run(total_ms=answer["total_ms"], cpu_ms=answer["cpu_ms"], stages_ms={"infer": float(answer["total_ms"])})

    def maps(self, outputs: Collection[str]) -> Maps:
        """Run it once and return its outputs."""
        path = self._folder / "outputs.npz"
        self._ask(f"save {path}")
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files if name in outputs}

    def peak_memory_mib(self) -> float:
        """Return the most memory that its process has had."""
        return float(self._ask("memory")["peak_memory_mib"])

    def gflop(self) -> float:
        """Return 1e9 multiplications and additions of one image, those of matrix products and convolutions alone."""
        return float(self._ask("work")["gflop"])

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()  # which it takes for the end
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()
        self._open.close()

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait(20)
            self._log.seek(0)
            reason = describe_failure(self._process.returncode, self._log.read())
            raise InferenceError(f"PyTorch could not be timed: {reason}")
        return dict(json.loads(answer))


def available_outputs(model: DepthModel) -> frozenset[str]:
    """Return the estimator's names of a model's outputs."""
    named = {DEPTH: model_contract.DEPTH, CONFIDENCE: model_contract.CONFIDENCE, NORMALS: model_contract.NORMAL}
    return frozenset(name for name, contract in named.items() if contract in model.outputs)
