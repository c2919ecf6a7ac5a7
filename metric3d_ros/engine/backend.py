"""A backend: one model file, loaded on one execution provider. An `Engine` runs one, and may change to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]


class Runner(Protocol):
    """Runs one session; called from one thread at a time."""

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Return the outputs `names` for the inputs `feeds`; raises what ONNX Runtime raises."""
        ...


class Backend(Runner, Protocol):
    """A loaded model and the provider that runs it; called from one thread at a time."""

    @property
    def session(self) -> Any:
        """The ONNX Runtime session, which also describes the model's tensors and metadata."""
        ...

    @property
    def provider(self) -> str:
        """The provider that runs the model at present, a key of `PROVIDERS`."""
        ...

    @property
    def remark(self) -> str:
        """Its present state in one sentence, for users; "" if there is nothing to report."""
        ...


class PlainRunner:
    """Runs a session that allocates the memory of its results itself."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        return list(self._session.run(list(names), dict(feeds)))


class SessionBackend:
    """One session on one provider, run by `runner`."""

    remark = ""

    def __init__(self, provider: str, session: Any, runner: Runner) -> None:
        self.provider = provider
        self.session = session
        self._runner = runner

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        return self._runner.run(names, feeds)
