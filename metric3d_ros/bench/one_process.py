"""Start-up time and peak memory of one model, in a process of its own: `python -m metric3d_ros.bench.one_process`."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from metric3d_ros.bench.candidates import HOST_PROVIDERS, Candidate
from metric3d_ros.camera import Camera
from metric3d_ros.engine.gpu.memory import read_gpu_memory
from metric3d_ros.engine.process_memory import peak_memory_bytes
from metric3d_ros.errors import InferenceError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.program import describe_failure, program

_RUNS = 2
"""The second run may need more than the first: ONNX Runtime plans its memory by what the first one took."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Footprint:
    """Start-up time and memory of a model.

    Attributes:
        load_s: seconds to load it.
        first_run_s: seconds of the first image.
        peak_memory_mib: of the whole process, Python and ONNX Runtime included.
        gpu_memory_mib: used on the GPU by all processes together while it is loaded; None without a GPU.
    """

    load_s: float
    first_run_s: float
    peak_memory_mib: float
    gpu_memory_mib: int | None


def measure_footprint(
    candidate: Candidate, *, size_hw: tuple[int, int], outputs: Sequence[str], threads: int
) -> Footprint:
    """Start a process that loads the model and runs it; raises InferenceError with that process's message."""
    task = {
        "candidate": dataclasses.asdict(candidate),
        "size_hw": size_hw,
        "outputs": outputs,
        "threads": threads,
    }
    command = [sys.executable, "-m", "metric3d_ros.bench.one_process", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = describe_failure(done.returncode, done.stderr)
        raise InferenceError(f"the memory of {candidate.label} could not be measured: {reason}")
    return Footprint(**json.loads(done.stdout.splitlines()[-1]))


def _measure_here(candidate: Candidate, *, size_hw: tuple[int, int], outputs: Sequence[str], threads: int) -> Footprint:
    height, width = size_hw
    started_s = time.perf_counter()
    model = open_model(candidate.model, provider=candidate.provider, threads=threads, tuning=candidate.tuning)
    loaded_s = time.perf_counter()
    estimator = Estimator(model)
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    camera = Camera.from_focal(width, height, focal_px=float(width))
    estimator.estimate(rgb, camera, outputs=outputs)
    first_s = time.perf_counter()
    for _ in range(_RUNS - 1):
        estimator.estimate(rgb, camera, outputs=outputs)
    gpu = None if candidate.provider in HOST_PROVIDERS else read_gpu_memory()
    return Footprint(
        load_s=loaded_s - started_s,
        first_run_s=first_s - loaded_s,
        peak_memory_mib=peak_memory_bytes() / 2**20,
        gpu_memory_mib=gpu.used_mib if gpu else None,
    )


@program("")
def _main() -> int:
    asked = json.loads(sys.argv[1])
    print(json.dumps(dataclasses.asdict(_measure_here(Candidate(**asked.pop("candidate")), **asked))))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
