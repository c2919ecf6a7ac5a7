"""Opens a model file on the provider that was asked for, or on the fastest one that works here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metric3d_ros import __version__, model_contract
from metric3d_ros.engine.backend import Array, Backend, Runner, SessionBackend
from metric3d_ros.engine.engine import Engine
from metric3d_ros.engine.gpu.driver import CudaDriver
from metric3d_ros.engine.gpu.host_buffers import HostBuffers
from metric3d_ros.engine.providers import AUTO, AUTO_ORDER, CUDA, PROVIDERS, TENSORRT, Options, Tuning
from metric3d_ros.engine.runners import CudaRunner, PlainRunner
from metric3d_ros.engine.runtime import Runtime, import_runtime
from metric3d_ros.errors import Metric3DError, ModelError, ProviderError

if TYPE_CHECKING:
    from metric3d_ros.engine.gpu.tensorrt import Profile

DEMO_MODEL = "demo"
DEMO_MODEL_PATH = Path(__file__).parents[1] / "models" / "demo.onnx"

_LOG = logging.getLogger(__name__)


def open_engine(
    model: str | Path = DEMO_MODEL,
    *,
    provider: str = AUTO,
    threads: int = 0,
    tuning: Tuning | None = None,
) -> Engine:
    """Load a model file.

    Args:
        model: path of an ONNX file, or "demo" for the model that comes with the package.
        provider: "auto" (the fastest one that works here) or a key of `PROVIDERS`, which then must work.
        threads: CPU threads for one operator; 0 lets ONNX Runtime take every core.
        tuning: everything else that can be tuned; its `threads` is replaced by `threads`.

    Raises:
        ModelError: no such file, not an ONNX file, or not a depth model.
        ProviderError: ONNX Runtime is not installed, or the provider asked for does not work here.
    """
    if provider != AUTO and provider not in PROVIDERS:
        raise ProviderError(f"provider '{provider}' is not known, expected one of {', '.join([AUTO, *PROVIDERS])}")
    path = _find_model(model)
    runtime = import_runtime()
    opener = _Opener(runtime, path, replace(tuning or Tuning(), threads=threads))
    if provider == AUTO:
        backends = opener.try_in_order()
        backend = next(backends, None)
        if backend is None:
            raise ProviderError(f"no provider works in this ONNX Runtime {runtime.version}: {PROVIDERS['cpu'].remedy}")
    else:
        backends = iter(())
        backend = opener.open(provider)
    try:
        return Engine(
            backend,
            model_name=DEMO_MODEL if str(model) == DEMO_MODEL else path.name,
            run_errors=runtime.errors,
            open_next=partial(next, backends, None) if provider == AUTO else None,
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Opener:
    """Opens one file with one tuning on any provider."""

    runtime: Runtime
    path: Path
    tuning: Tuning

    def try_in_order(self) -> Iterator[Backend]:
        """Yield the model on each provider that works here, the fastest first, and say which it is."""
        usable = [name for name in AUTO_ORDER if PROVIDERS[name].ort_name in self.runtime.present]
        for name in usable:
            try:
                backend = self.open(name)
            except (ProviderError, ModelError) as error:
                if name == usable[-1]:
                    raise
                # A model that one provider cannot load may be a fault of the file, or of the provider.
                _LOG.info("provider auto goes on: %s", error)
                continue
            _LOG.info("provider auto takes %s, of those installed (%s) the fastest that works", name, ", ".join(usable))
            yield backend

    def open(self, name: str) -> Backend:
        """Return the model on one provider; ProviderError where that does not work here."""
        provider = PROVIDERS[name]
        if provider.ort_name not in self.runtime.present:
            raise ProviderError(
                f"provider '{name}' is not in this ONNX Runtime {self.runtime.version} (it has "
                f"{', '.join(self.runtime.present)}): {provider.remedy}"
            )
        if name == TENSORRT:
            # Not for everybody: with it come what downloads need, a few megabytes.
            from metric3d_ros.engine.gpu.tensorrt import TensorRtBackend

            # Its engine takes minutes; whether it works at all shows in seconds, with a small model and no engine.
            self.runtime.open_session(DEMO_MODEL_PATH, name, self.tuning)
            return TensorRtBackend(self.open(CUDA), self._build_tensorrt, errors=self._build_errors)
        if name == CUDA:
            return self._open_cuda()
        session = self.runtime.open_session(self.path, name, self.tuning)
        return SessionBackend(name, session, PlainRunner(session))

    def _open_cuda(self) -> Backend:
        session, graphs = self._open_cuda_session(self.tuning)
        if graphs and not _is_own(session):
            # Whose outputs' shapes are not known beforehand; and a session that captures can be run in no other way.
            session, graphs = self._open_cuda_session(replace(self.tuning, cuda_graphs=False))
        return SessionBackend(CUDA, session, self._gpu_runner(session, graphs=graphs))

    def _open_cuda_session(self, tuning: Tuning) -> tuple[Any, bool]:
        """Return a session and whether it can capture graphs."""
        try:
            return self.runtime.open_session(self.path, CUDA, tuning), tuning.cuda_graphs
        except ModelError as error:
            if not (tuning.cuda_graphs and "graph capture" in str(error.__cause__)):
                raise
        _LOG.info("CUDA graphs are left out: a part of %s runs on the CPU", self.path.name)
        return self._open_cuda_session(replace(tuning, cuda_graphs=False))

    def _gpu_runner(self, session: Any, *, graphs: bool) -> Runner:
        if not _is_own(session):
            return PlainRunner(session)
        driver = CudaDriver.load()
        return CudaRunner(
            self.runtime,
            session,
            HostBuffers(driver),
            output_shape=_own_output_shape,
            copy_to_host=driver.copy_to_host if driver is not None else None,
            graphs=graphs,
        )

    @property
    def _build_errors(self) -> tuple[type[Exception], ...]:
        return (*self.runtime.errors, Metric3DError, OSError)

    def _build_tensorrt(self, profile: Profile) -> Backend:
        """Return the model with TensorRT's engine for `profile`; takes minutes where it is not in the cache."""
        from metric3d_ros.engine.gpu.tensorrt import build_cached
        from metric3d_ros.hub.downloads import cache_folder

        def open_backend(more: Options) -> Backend:
            session = self.runtime.open_session(self.path, TENSORRT, self.tuning, more=more)
            return SessionBackend(TENSORRT, session, self._gpu_runner(session, graphs=False))

        return build_cached(
            open_backend,
            profile,
            root=cache_folder() / "tensorrt",
            key=self._tensorrt_key(),
            run_once=_run_all,
            dtypes=_INPUT_DTYPES,
            errors=self._build_errors,
        )

    def _tensorrt_key(self) -> Mapping[str, str]:
        """Return all that an engine depends on beside its profile."""
        from metric3d_ros.hub.downloads import hash_file

        driver = CudaDriver.load()
        data = self.path.with_name(self.path.name + ".data")
        return {
            "model": hash_file(self.path),
            "model data": hash_file(data) if data.exists() else "",
            "onnxruntime": self.runtime.version,
            "tensorrt": _tensorrt_version(),
            "options": str(PROVIDERS[TENSORRT].options(self.tuning)),
            "gpu": (driver.describe_gpu() if driver is not None else None) or "unknown",
            "metric3d_ros": __version__,
        }


_INPUT_DTYPES = {
    model_contract.IMAGE: np.uint8,
    model_contract.FOCAL_LENGTH: np.float32,
}


def _is_own(session: Any) -> bool:
    """Whether the model is one of our exporter's, whose outputs' shapes follow from the image's."""
    return {tensor.name for tensor in session.get_inputs()} == set(_INPUT_DTYPES)


def _own_output_shape(name: str, feeds: Mapping[str, Array]) -> tuple[int, ...]:
    batch_hw = feeds[model_contract.IMAGE].shape[:3]
    return (*batch_hw, 3) if name == model_contract.NORMAL else batch_hw


def _run_all(backend: Backend, feeds: Mapping[str, Array]) -> object:
    return backend.run([tensor.name for tensor in backend.session.get_outputs()], feeds)


def _tensorrt_version() -> str:
    """Return the version of the installed TensorRT package; "unknown" where it is not Python's."""
    from importlib import metadata

    for package in ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _find_model(model: str | Path) -> Path:
    if str(model) == DEMO_MODEL:
        if not DEMO_MODEL_PATH.exists():
            raise ModelError(
                f"the demo model is missing from the installed package ({DEMO_MODEL_PATH}): install metric3d_ros again"
            )
        return DEMO_MODEL_PATH
    path = Path(model).expanduser()
    if not path.exists():
        raise ModelError(
            f"model file {path} does not exist: make one with `metric3d export vit_small -o {path.name}`, "
            f"or use the model '{DEMO_MODEL}'"
        )
    if not path.is_file():
        raise ModelError(f"model {path} is not a file: name the .onnx file itself")
    return path
