"""A model on one execution provider: what an `Engine` runs, and can change for another while it is running."""

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
    """Runs the model, and says on what; called from one thread at a time."""

    @property
    def session(self) -> Any:
        """The ONNX Runtime session, from which the model's own description is read."""
        ...

    @property
    def provider(self) -> str:
        """The provider that runs the model at present, a key of `PROVIDERS`."""
        ...

    @property
    def remark(self) -> str:
        """What a person should know about it at present; "" where there is nothing to say."""
        ...


class SessionBackend:
    """One session on one provider."""

    remark = ""

    def __init__(self, provider: str, session: Any, runner: Runner) -> None:
        self.provider = provider
        self.session = session
        self._runner = runner

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        return self._runner.run(names, feeds)
