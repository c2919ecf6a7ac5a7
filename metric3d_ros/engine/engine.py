"""Engine: one ONNX file, opened on the provider that the user chose or the fastest that works; runs tensors by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metric3d_ros.engine.backend import Array, Backend, PlainRunner, SessionBackend
from metric3d_ros.engine.fallback import OpenNext, ProviderFallback, open_in_order
from metric3d_ros.engine.gpu.cuda import open_cuda
from metric3d_ros.engine.model_file import DEMO_MODEL, DEMO_MODEL_PATH, find_model, one_line_about
from metric3d_ros.engine.providers import AUTO, CPU, CUDA, PROVIDERS, TENSORRT, Tuning
from metric3d_ros.engine.sessions import Runtime, import_runtime
from metric3d_ros.errors import ProviderError


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model as its file declares it.

    Attributes:
        shape: one entry a dimension: its length, or the file's name for it (None without one) if any length goes.
        kind: ONNX Runtime's name of the element type, such as "tensor(float)".
    """

    shape: tuple[int | str | None, ...]
    kind: str


class Engine:
    """A model file on an execution provider. Made by `open_engine`; `run` may be called from one thread at a time.

    It addresses tensors by their names in the file, whatever they mean.

    Attributes:
        path: the model file.
        model_name: the file's base name, or "demo".
        inputs: by name.
        outputs: by name.
        properties: the file's metadata, key by key, as it stands there.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        model_name: str,
        run_errors: tuple[type[Exception], ...],
        open_next: OpenNext | None = None,
        path: Path | None = None,
    ) -> None:
        """Describe the model that `backend` runs; see `ProviderFallback` for the other arguments."""
        session = backend.session
        self._provider = ProviderFallback(backend, model_name=model_name, run_errors=run_errors, open_next=open_next)
        self.path = path
        self.model_name = model_name
        self.inputs: Mapping[str, Tensor] = _describe(session.get_inputs())
        self.outputs: Mapping[str, Tensor] = _describe(session.get_outputs())
        self.properties: Mapping[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self._half = {name for name, tensor in self.inputs.items() if tensor.kind == "tensor(float16)"}

    @property
    def provider(self) -> str:
        """The provider that runs the model at present, a key of `PROVIDERS`."""
        return self._provider.backend.provider

    @property
    def remark(self) -> str:
        """The provider's present state in one sentence, for users; "" if there is nothing to report."""
        return self._provider.backend.remark

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run the model once.

        Args:
            feeds: an array for each of `self.inputs`; converted if the file takes float16.
            outputs: names from `self.outputs`.

        Returns:
            float32 arrays by name, in the file's own layout. They are the caller's: a later run does not change them.

        Raises:
            OutOfMemoryError: inputs of this size need more memory than there is.
            InferenceError: the provider failed in another way, and so did those that may take its place.
        """
        feeds = {name: array.astype(np.float16) if name in self._half else array for name, array in feeds.items()}
        results = self._provider.run(outputs, feeds)
        return {name: np.asarray(result, np.float32) for name, result in zip(outputs, results, strict=True)}


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
        ModelError: no such file, no ONNX file, a damaged one, or weights in a file elsewhere than beside it.
        ProviderError: ONNX Runtime is not installed, or the provider asked for does not work here.
        ConfigurationError: a number of threads that no computer has.
    """
    if provider != AUTO and provider not in PROVIDERS:
        raise ProviderError(f"provider '{provider}' is not known, expected one of {', '.join([AUTO, *PROVIDERS])}")
    path = find_model(model)
    runtime = import_runtime()
    open_on = partial(_open_on, runtime, path, replace(tuning or Tuning(), threads=threads))
    with one_line_about(path):
        backends = open_in_order(open_on, present=runtime.present) if provider == AUTO else iter([open_on(provider)])
        backend = next(backends, None)
        if backend is None:
            raise ProviderError(f"no provider works in this ONNX Runtime {runtime.version}: {PROVIDERS[CPU].remedy}")
        return Engine(
            backend,
            model_name=DEMO_MODEL if str(model) == DEMO_MODEL else path.name,
            run_errors=runtime.errors,
            open_next=partial(next, backends, None) if provider == AUTO else None,
            path=path,
        )


def _open_on(runtime: Runtime, path: Path, tuning: Tuning, provider: str) -> Backend:
    """Return the model on one provider; ProviderError if that does not work here."""
    if PROVIDERS[provider].ort_name not in runtime.present:
        raise ProviderError(
            f"provider '{provider}' is not in this ONNX Runtime {runtime.version} (it has "
            f"{', '.join(runtime.present)}): {PROVIDERS[provider].remedy}"
        )
    if provider == CUDA:
        return open_cuda(runtime, path, tuning)
    if provider == TENSORRT:
        # Imported lazily, because it needs the modules of downloads: a few megabytes.
        from metric3d_ros.engine.gpu.tensorrt import open_tensorrt

        return open_tensorrt(runtime, path, tuning, small_model=DEMO_MODEL_PATH)
    session = runtime.open_session(path, provider, tuning)
    return SessionBackend(provider, session, PlainRunner(session))


def _describe(tensors: Iterable[Any]) -> dict[str, Tensor]:
    return {tensor.name: Tensor(tuple(tensor.shape), str(tensor.type)) for tensor in tensors}
