"""Imports ONNX Runtime, the only module to do so, and opens its sessions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metric3d_ros.engine.attention import explain_attention
from metric3d_ros.engine.external_data import check_external_data
from metric3d_ros.engine.model_file import damaged
from metric3d_ros.engine.providers import (
    CPU,
    CUDA,
    INSTALL_ONNXRUNTIME,
    OPENVINO,
    PROVIDERS,
    TENSORRT,
    Options,
    Tuning,
    session_providers,
)
from metric3d_ros.errors import ProviderError
from metric3d_ros.out_of_memory import is_out_of_memory

# Over it ONNX Runtime 1.23 and 1.26 refuse float16 models on the CPU, 1.29 does not.
_BROKEN_FUSION = "SimplifiedLayerNormFusion"

_FATAL_ONLY = 4

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"


@dataclass(frozen=True)
class Runtime:
    """An imported ONNX Runtime. `module` is onnxruntime, or what stands in for it in a test."""

    module: Any

    @property
    def version(self) -> str:
        return str(self.module.__version__)

    @property
    def present(self) -> list[str]:
        """ONNX Runtime's names of the providers that were compiled into it."""
        return list(self.module.get_available_providers())

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The exceptions that a session raises; most of them share no base class."""
        state = self.module.capi.onnxruntime_pybind11_state
        names = (
            "Fail",
            "InvalidArgument",
            "NoSuchFile",
            "NoModel",
            "EngineError",
            "RuntimeException",
            "InvalidProtobuf",
            "NotImplemented",
            "InvalidGraph",
            "EPFail",
        )
        return (*(getattr(state, name) for name in names if hasattr(state, name)), MemoryError, RuntimeError)

    def open_session(self, path: Path, provider: str, tuning: Tuning, *, more: Options | None = None) -> Any:
        """Return a session of the model on `provider`, with `more` options.

        Raises ProviderError if the provider does not work here, ModelError for a file that cannot be loaded or keeps
        its weights elsewhere than beside it.
        """
        try:
            check_external_data(path)
        except ValueError as error:
            raise damaged(path, error) from error
        if provider in (TENSORRT, CUDA) and hasattr(self.module, "preload_dlls"):
            # Finds the CUDA libraries that pip installed, which no loader path names.
            self.module.preload_dlls()
        options = self._session_options(provider, tuning)
        providers = session_providers(provider, tuning, more)
        keep_to_cpus(tuning.cpus)
        try:
            session = self._make_session(self._source(path, provider, options), options, providers)
        except self.errors as error:
            if provider != CPU and _is_about_provider(error):
                raise _does_not_work(provider, f" ({first_line(error)})") from error
            raise damaged(path, error) from error
        if PROVIDERS[provider].ort_name not in session.get_providers():
            # ONNX Runtime falls back to the CPU by itself when a provider's libraries or device are missing.
            raise _does_not_work(provider)
        return session

    def _session_options(self, provider: str, tuning: Tuning) -> Any:
        options = self.module.SessionOptions()
        options.intra_op_num_threads = tuning.thread_count
        # Failures are raised as well; ONNX Runtime's coloured print of them would only hide our one line.
        options.log_severity_level = _FATAL_ONLY
        # ONNX Runtime plans memory for each image size and keeps every plan: 0.62 GB in place of 0.46 GB for vit_small
        # at 640 x 480 on a CPU, at the same speed.
        options.enable_mem_pattern = False
        if not tuning.spinning or provider != CPU:
            # Beside another provider, busy-waiting CPU threads would only take cores away from it.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _source(self, path: Path, provider: str, options: Any) -> str | bytes:
        """Return what to load: the file's path, or what it holds, changed for the provider."""
        if provider not in (OPENVINO, TENSORRT):
            return str(path)
        content = path.read_bytes()
        explained = explain_attention(content)
        if explained is content:
            return str(path)
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        return explained

    def _make_session(self, source: str | bytes, options: Any, providers: list[tuple[str, Options]]) -> Any:
        # `enable_fallback` would run a failing model on the CPU and print that to the terminal.
        make = self.module.InferenceSession
        try:
            return make(source, options, providers=providers, enable_fallback=False)
        except self.errors as error:
            if _BROKEN_FUSION not in str(error):
                raise
            return make(
                source, options, providers=providers, enable_fallback=False, disabled_optimizers=[_BROKEN_FUSION]
            )


def import_runtime() -> Runtime:
    """Return ONNX Runtime; ProviderError if it is not installed, or only in part."""
    # 1.32 writes into the user's cache when it is imported, and sends what it collects to its makers.
    os.environ.setdefault(TELEMETRY_VARIABLE, "1")
    try:
        import onnxruntime
    except ImportError as error:
        if is_out_of_memory(error):
            raise ProviderError(
                f"ONNX Runtime needs more memory than there is ({first_line(error)}): give the process more"
            ) from error
        raise ProviderError(f"ONNX Runtime cannot be imported ({error}): {INSTALL_ONNXRUNTIME}") from error
    if not hasattr(onnxruntime, "InferenceSession"):
        # This is what remains if two of the packages were installed and one was uninstalled.
        raise ProviderError(
            "the installed ONNX Runtime is incomplete: `pip uninstall -y onnxruntime onnxruntime-gpu "
            "onnxruntime-openvino`, then " + INSTALL_ONNXRUNTIME
        )
    return Runtime(onnxruntime)


def keep_to_cpus(cpus: tuple[int, ...]) -> None:
    """Pin the calling thread, and with it the threads that it starts, to CPU cores; empty leaves it as it is.

    Raises ProviderError if there is no such core.
    """
    if not cpus:
        return
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, ValueError) as error:
        raise ProviderError(
            f"cpus are {', '.join(map(str, cpus))}, expected cores that this process may use, which are "
            f"{', '.join(map(str, sorted(os.sched_getaffinity(0))))} ({error})"
        ) from error


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message; the name of its class if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _does_not_work(provider: str, reason: str = "") -> ProviderError:
    remedy = PROVIDERS[provider].remedy
    return ProviderError(f"provider '{provider}' is installed but does not work here{reason}: {remedy}")


def _is_about_provider(error: BaseException) -> bool:
    """Whether it is not the model that is wrong, but the provider that cannot be set up."""
    if isinstance(error, RuntimeError):  # Python's own: raised before ONNX Runtime looks at the model
        return True
    return any(
        sign in str(error) for sign in ("CUDA failure", "CUDNN", "CUBLAS", "TensorRT", "cannot open shared object")
    )
