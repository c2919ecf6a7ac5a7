"""Runs ONNX graphs that are held in memory, once, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from metric3d_ros.engine.providers import CPU, PROVIDERS
from metric3d_ros.engine.sessions import first_line, import_runtime
from metric3d_ros.errors import InferenceError

_FATAL_ONLY = 4


def run_once(model: bytes, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Return the outputs of a graph, in their order.

    Raises:
        ProviderError: ONNX Runtime is not installed.
        InferenceError: it refuses the graph, or fails.
    """
    runtime = import_runtime()
    options = runtime.module.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.enable_cpu_mem_arena = False  # an arena would keep what a large tensor needed
    options.enable_mem_pattern = False
    options.intra_op_num_threads = 1  # threads cost more to start than the graph to run
    try:
        session = runtime.module.InferenceSession(model, options, providers=[PROVIDERS[CPU].ort_name])
        return list(session.run(None, dict(feeds)))
    except runtime.errors as error:
        raise InferenceError(
            f"ONNX Runtime {runtime.version} fails on a small graph ({first_line(error)}): update onnxruntime"
        ) from error
