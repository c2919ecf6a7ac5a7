"""Time and memory of a model file at run time, each size in a process of its own.

`python -m metric3d_export.report.run_times FILE HEIGHT WIDTH` is that process; it imports neither torch nor onnx.
"""

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metric3d_ros.engine.process_memory import peak_memory_bytes
from metric3d_ros.errors import InferenceError
from metric3d_ros.model_contract import DEPTH
from metric3d_ros.program import describe_failure, program

SIZES_HW = ((240, 320), (480, 640))
_LEAST_RUNS, _MOST_RUNS, _ENOUGH_S = 3, 10, 3.0


@dataclasses.dataclass(frozen=True)
class Run:
    """What one image of one size costs."""

    height: int
    width: int
    provider: str
    median_ms: float
    runs: int
    peak_memory_bytes: int
    """Of the whole process, Python and ONNX Runtime included."""


def measure_runs(path: Path, *, sizes_hw: Sequence[tuple[int, int]] = SIZES_HW) -> list[Run]:
    """Run the model on the CPU at every size; raises InferenceError with the process's own words if one fails."""
    runs = []
    for height, width in sizes_hw:
        command = [sys.executable, "-m", "metric3d_export.report.run_times", str(path), str(height), str(width)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            reason = describe_failure(done.returncode, done.stderr)
            raise InferenceError(f"{path.name} could not be timed at {height} x {width}: {reason}")
        runs.append(Run(**json.loads(done.stdout)))
    return runs


def time_model(path: Path, height: int, width: int) -> Run:
    """Time the model in this process, after one run to warm up: at least 3 runs, and 10 or 3 seconds of them."""
    from metric3d_ros.estimation.depth_model import open_model

    model = open_model(path, provider="cpu")
    image = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    focal_px = np.array([width], np.float32)
    times_s: list[float] = []
    model.infer(image, focal_px, outputs=model.outputs)
    while len(times_s) < _LEAST_RUNS or (len(times_s) < _MOST_RUNS and sum(times_s) < _ENOUGH_S):
        started = time.perf_counter()
        outputs = model.infer(image, focal_px, outputs=model.outputs)
        times_s.append(time.perf_counter() - started)
    assert outputs[DEPTH].shape == (1, height, width)
    median_ms = 1e3 * statistics.median(times_s)
    return Run(height, width, model.provider, median_ms, len(times_s), peak_memory_bytes())


@program("")
def _main() -> int:
    run = time_model(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(dataclasses.asdict(run)))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
