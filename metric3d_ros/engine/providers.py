"""Execution providers: ONNX Runtime's names and options for them, and what to install if one is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from metric3d_ros.errors import ConfigurationError

AUTO = "auto"
TENSORRT, CUDA, OPENVINO, CPU = "tensorrt", "cuda", "openvino", "cpu"

INSTALL_ONNXRUNTIME = (
    "install it with `pip install onnxruntime` (CPU), `pip install 'onnxruntime-gpu[cuda,cudnn]'` (NVIDIA GPU) or "
    "`pip install onnxruntime-openvino` (Intel's faster one for CPUs), only one of them"
)
_INSTALL_CUDA = (
    "it needs an NVIDIA GPU with its driver and `pip uninstall -y onnxruntime onnxruntime-openvino && "
    "pip install 'onnxruntime-gpu[cuda,cudnn]'`"
)

F32, BF16 = "f32", "bf16"
OPENVINO_PRECISIONS = (F32, BF16)

CONV_SEARCHES = ("exhaustive", "heuristic", "default")
"""How cuDNN finds the algorithm of a convolution, the slowest search with the fastest result first."""

PAGE_LOCKED, PAGEABLE, BY_RUNTIME = CUDA_STAGING = ("page-locked", "pageable", "runtime")
"""Host memory through which images and results are copied: page-locked (pinned), pageable, or ONNX Runtime's own."""

Options = dict[str, str]

MOST_THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What can be tuned of a session; each field names the providers that it concerns.

    Raises ConfigurationError for a number of threads that no computer has.
    """

    threads: int = 0
    """CPU threads for one operator; 0 takes every core. cpu, openvino."""
    spinning: bool = True
    """Whether CPU threads busy-wait for a moment before they sleep. cpu."""
    cpus: tuple[int, ...] = ()
    """CPU cores that the model's threads are pinned to; empty: all. cpu, openvino."""
    openvino_precision: str = F32
    """One of OPENVINO_PRECISIONS: what OpenVINO computes with."""
    cuda_graphs: bool = True
    """Replay the whole model as one CUDA graph once several frames of one size have come. cuda."""
    cuda_prefer_nhwc: bool = False
    """Convolutions in channels-last layout. cuda."""
    cuda_conv_search: str = CONV_SEARCHES[0]
    """One of CONV_SEARCHES. cuda."""
    cuda_staging: str = PAGE_LOCKED
    """One of CUDA_STAGING, for measurements; "runtime" goes without CUDA graphs. cuda."""
    tensorrt_fp16: bool = False
    """Let TensorRT compute a float32 model in float16 if that is faster. tensorrt."""

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= MOST_THREADS:
            raise ConfigurationError(f"threads is {self.threads}, expected 0 (every core) to {MOST_THREADS}")

    @property
    def thread_count(self) -> int:
        """CPU threads to ask for; 0 leaves the number to ONNX Runtime, which does not take `cpus` into account."""
        return self.threads or len(self.cpus)


@dataclass(frozen=True)
class Provider:
    """An execution provider.

    Attributes:
        ort_name: ONNX Runtime's name for it.
        remedy: what to do if it is missing.
        options: its options for ONNX Runtime.
        beneath: names of the providers that run the operators for which it has no kernel.
    """

    ort_name: str
    remedy: str
    options: Callable[[Tuning], Options] = lambda tuning: {}
    beneath: tuple[str, ...] = (CPU,)


def _cuda_options(tuning: Tuning) -> Options:
    return {
        # Frames of one size request the same blocks again and again: no need to double the arena each time it grows.
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": tuning.cuda_conv_search.upper(),
        "prefer_nhwc": "1" if tuning.cuda_prefer_nhwc else "0",
        "enable_cuda_graph": "1" if tuning.cuda_graphs and tuning.cuda_staging != BY_RUNTIME else "0",
    }


def _tensorrt_options(tuning: Tuning) -> Options:
    return {"trt_fp16_enable": "1" if tuning.tensorrt_fp16 else "0"}


def _openvino_options(tuning: Tuning) -> Options:
    # One frame at a time: one stream that has all threads.
    properties = {
        "INFERENCE_PRECISION_HINT": tuning.openvino_precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    if tuning.thread_count:
        properties["INFERENCE_NUM_THREADS"] = str(tuning.thread_count)
    return {"device_type": "CPU", "load_config": json.dumps({"CPU": properties})}


PROVIDERS: Mapping[str, Provider] = {
    TENSORRT: Provider(
        "TensorrtExecutionProvider",
        _INSTALL_CUDA + " and TensorRT 10 (`pip install tensorrt`)",
        _tensorrt_options,
        beneath=(CUDA, CPU),
    ),
    CUDA: Provider("CUDAExecutionProvider", _INSTALL_CUDA, _cuda_options),
    OPENVINO: Provider(
        "OpenVINOExecutionProvider",
        "it needs an x86 CPU and `pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-openvino`",
        _openvino_options,
    ),
    CPU: Provider("CPUExecutionProvider", INSTALL_ONNXRUNTIME, beneath=()),
}
"""Providers by the name that users give."""

AUTO_ORDER = (CUDA, OPENVINO, CPU)
"""What "auto" tries, the fastest first. Not TensorRT, whose engines take minutes to build and change the numbers."""


def session_providers(name: str, tuning: Tuning, more: Options | None = None) -> list[tuple[str, Options]]:
    """Return ONNX Runtime's list of providers for `name`: itself, with `more` options, then those beneath it."""
    provider = PROVIDERS[name]
    # A CUDA graph holds a whole model or nothing: with a part of the model on another provider there is none.
    rest = replace(tuning, cuda_graphs=False)
    chosen = [(provider.ort_name, provider.options(tuning) | (more or {}))]
    return chosen + [(PROVIDERS[below].ort_name, PROVIDERS[below].options(rest)) for below in provider.beneath]
