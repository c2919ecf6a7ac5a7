"""Falls back to the next provider: when a model is opened with provider "auto", and when a run fails later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from metric3d_ros.engine.backend import Array, Backend
from metric3d_ros.engine.providers import AUTO_ORDER, CPU, PROVIDERS
from metric3d_ros.errors import InferenceError, ModelError, ProviderError
from metric3d_ros.out_of_memory import explain_out_of_memory

_LOG = logging.getLogger(__name__)

OpenNext = Callable[[], Backend | None]

_SMALLER = "if memory ran out, set a smaller inference_size"


def open_in_order(open_backend: Callable[[str], Backend], *, present: Collection[str]) -> Iterator[Backend]:
    """Yield the model on each provider that works here, the fastest first, and log which one it is.

    Args:
        open_backend: opens the model on a provider, a key of `PROVIDERS`.
        present: ONNX Runtime's names of the providers that are compiled into it.

    Raises:
        ProviderError, ModelError: the last provider could not open the model either.
    """
    usable = [name for name in AUTO_ORDER if PROVIDERS[name].ort_name in present]
    for name in usable:
        try:
            backend = open_backend(name)
        except (ProviderError, ModelError) as error:
            if name == usable[-1]:
                raise
            # If one provider cannot load a model, either the file or the provider may be at fault.
            _LOG.info("provider auto tries the next one: %s", error)
            continue
        _LOG.info("provider auto uses %s, the fastest that works of those installed (%s)", name, ", ".join(usable))
        yield backend


class ProviderFallback:
    """Runs a model on its provider; if that fails and the user chose "auto", on the next best provider from then on."""

    def __init__(
        self,
        backend: Backend,
        *,
        model_name: str,
        run_errors: tuple[type[Exception], ...],
        open_next: OpenNext | None = None,
    ) -> None:
        """Start with `backend`.

        Args:
            model_name: for messages.
            run_errors: what `backend` raises if it fails.
            open_next: opens the model on the next best provider and returns None after the last. None: no fallback,
                because the user has named the provider.
        """
        self.backend = backend
        self._spare: Backend | None = None
        self._open_next = open_next
        self._run_errors = run_errors
        self._model_name = model_name

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Return the outputs `names` for the inputs `feeds`.

        Raises:
            OutOfMemoryError: inputs of this size need more memory than there is; another provider is not tried.
            InferenceError: the provider failed in another way, and so did those that may take its place.
        """
        try:
            return self.backend.run(names, feeds)
        except self._run_errors as error:
            return self._recover(error, names, feeds)

    def _recover(self, error: Exception, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        shape = "x".join(map(str, max(feeds.values(), key=lambda array: array.size).shape))
        what = f"{self._model_name} failed on a {shape} input with provider {self.backend.provider}"
        explained = explain_out_of_memory(error, doing=what, remedy="set a smaller inference_size")
        if explained is not error:
            raise explained from explained.__cause__
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        # An input that does not fit the model fits it on no provider.
        if self._open_next is None or "InvalidArgument" in type(error).__name__:
            raise InferenceError(
                f"{what}: {reason}; if it persists, set another provider, or auto, which may fall back"
                if self.backend.provider != CPU
                else f"{what}: {reason}; {_SMALLER}"
            ) from error
        self._spare = self._spare or self._open_next()
        if self._spare is None:
            raise InferenceError(f"{what}: {reason}; {_SMALLER}") from error
        try:
            results = self._spare.run(names, feeds)
        except self._run_errors:
            raise InferenceError(
                f"{what}, and with provider {self._spare.provider} as well: {reason}; {_SMALLER}"
            ) from error
        _LOG.warning("%s: %s; provider auto falls back to %s", what, reason, self._spare.provider)
        self.backend, self._spare = self._spare, None
        return results
