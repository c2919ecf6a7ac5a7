"""Roles of a network's modules, by which a precision decides what to reduce; a module's attribute `role` is its role.

`precision` decides by roles what stays float32 (`precision.float16.KEPT_IN_FLOAT32`). Tracing hands the roles on from
the modules to the graph's operators and weights, so neither depends on what a module or a tensor is called.
"""

import enum
from typing import NamedTuple, TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class Role(enum.Enum):
    """The kind of a module, if it matters to a precision. Most modules have no role: they may be reduced.

    The *own* operators of a module are those of its `forward`; operators of the modules in it are not among them.
    """

    CONTRACT = "padding, cropping and scaling"
    ENCODER = "an encoder: its own operators and weights are the position embedding and the tokens"
    RESIDUAL_SUM = "a block of a ViT encoder, or a layer's scale in it: its own operators are the residual sums"
    DECODER = "the decoder: its own operators are the depth's expectation, the state's sums and the upsampling"
    DEPTH_REFINEMENT = "the layers that refine depth at full size"
    SENSITIVE = "layers whose weights cost most accuracy for their size"
    RECURRENT = "a recurrent unit: a graph may store its weights in parts"


class Place(NamedTuple):
    """The roles of an operator's or a weight's modules."""

    own: Role | None
    """The role of the module that it belongs to."""
    around: frozenset[Role]
    """The roles of that module and of all modules around it."""


NO_ROLE = Place(None, frozenset())


def with_role(module: Module, role: Role) -> Module:
    """Return the module after giving it a role; a class gives one to all its instances by its attribute `role`."""
    module.role = role
    return module


def places_of_modules(root: nn.Module) -> dict[nn.Module, Place]:
    """Return the place of what belongs to each module of `root`, itself included."""
    places: dict[nn.Module, Place] = {}

    def visit(module: nn.Module, around: frozenset[Role]) -> None:
        if module in places:  # under a second name
            return
        role = getattr(module, "role", None)
        around = around if role is None else around | {role}
        places[module] = Place(role, around)
        for child in module.children():
            visit(child, around)

    visit(root, frozenset())
    return places


def places_of_weights(root: nn.Module) -> dict[str, Place]:
    """Return the place of each parameter and buffer by its name, by each of its names if it has several."""
    places = places_of_modules(root)
    return {
        f"{prefix}.{name}" if prefix else name: places[module]
        for prefix, module in root.named_modules(remove_duplicate=False)
        for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    }
