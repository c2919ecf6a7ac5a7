"""Finds the module of a traced network from which an operator of its graph comes.

PyTorch's exporter names an operator by the modules whose forward methods were running: /network/encoder/proj/Conv. The
names alone are ambiguous, so the calls are recorded while the graph is traced.
"""

import contextlib
import re
from collections.abc import Iterator

from torch import nn

from metric3d_export.network.roles import NO_ROLE, Place, places_of_modules
from metric3d_ros.errors import ExportError


class Scopes:
    """The places of the modules that were called, by the exporter's names for the calls."""

    def __init__(self) -> None:
        self._places: dict[str, set[Place]] = {}

    def add(self, scope: str, place: Place) -> None:
        self._places.setdefault(scope, set()).add(place)

    def place_of(self, operator: str) -> Place:
        """Return the place of the operator of that name; raises ExportError if the name does not determine it."""
        scope = operator.rpartition("/")[0]
        # The exporter counts repeated calls of a module: scope, scope_1, scope_2.
        places = self._places.get(scope, set()) | self._places.get(re.sub(r"_\d+$", "", scope), set())
        if len(places) != 1:
            raise ExportError(
                f"the traced graph has an operator {operator!r} of {'several modules' if places else 'no module'} of "
                "the network: this PyTorch names operators differently from 2.13, which this tool is tested with"
            )
        return next(iter(places))


@contextlib.contextmanager
def recording_scopes(root: nn.Module) -> Iterator[Scopes]:
    """Record, within the context, which modules of `root` are called and by which names of the exporter."""
    scopes = Scopes()
    places = places_of_modules(root)
    running: list[str] = []
    hooks = []
    for name, module in root.named_modules():

        def enter(module: nn.Module, _: object, name: str = _last_name(name)) -> None:
            running.append(f"/{name}" if name else "")
            scopes.add("".join(running), places.get(module, NO_ROLE))

        def leave(*_: object) -> None:
            running.pop()

        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield scopes
    finally:
        for hook in hooks:
            hook.remove()


def _last_name(qualified: str) -> str:
    """Return the exporter's name of a module: its path from the last name that is not a number on (blocks.0.3)."""
    atoms = qualified.split(".")
    first = max((i for i, atom in enumerate(atoms) if not atom.isnumeric()), default=0)
    return ".".join(atoms[first:])
