"""Replacements of network parts that compute the same as `network`, and give a better graph.

The networks under `network` keep the published operations in the published order. A form replaces one of them while a
graph is traced, for one of two reasons: the published one would freeze the traced size into the graph, or it costs
more than an equal one (`fast_encoder`, `fast_decoder`).
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.graph import fast_decoder, fast_encoder, fast_hourglass, fast_lite
from metric3d_export.network import hourglass, lite_unet, raft_dpt
from metric3d_export.network.vit import GRID_OFFSET, HEAD_SIZE, STORED_GRID, Attention, Block, VisionTransformer


@contextlib.contextmanager
def graph_forms(network: nn.Module, *, optimise: bool = True, scales_in_weights: bool = True) -> Iterator[None]:
    """Within the context, `network` computes with the forms of a graph, and has their parameters.

    Args:
        network: a network, or a part of one that is replaced only within.
        optimise: take the cheaper forms; otherwise only what no graph of any size can do without.
        scales_in_weights: with `optimise`, multiply what scales a product into the weights before it. Such weights
            can be too small for float16.
    """
    parts = _fast_parts(scales_in_weights=scales_in_weights) if optimise else {}
    with contextlib.ExitStack() as undo:
        # From the inside out, so that a part is made of those that are replaced already.
        for parent in reversed(list(network.modules())):
            for name, part in list(parent.named_children()):
                if type(part) in parts:
                    undo.callback(setattr, parent, name, part)
                    setattr(parent, name, parts[type(part)](part))
        for module in list(network.modules()):
            for kind, name, form in METHODS:
                if isinstance(module, kind):
                    undo.callback(delattr, module, name)
                    setattr(module, name, functools.partial(form, module))
        yield


def _fast_parts(*, scales_in_weights: bool) -> dict[type[nn.Module], Callable[[Any], nn.Module]]:
    """Return the constructor of the cheaper form of each class of module."""
    return {
        Block: functools.partial(fast_encoder.fast_block, scales_in_weights=scales_in_weights),
        raft_dpt.RaftDptDecoder: functools.partial(fast_decoder.FastDecoder, scales_in_weights=scales_in_weights),
        raft_dpt.UpsampleThenProject: fast_decoder.project_only,
        raft_dpt.FusionStep: fast_decoder.FastFusionStep,
        hourglass.HourglassDecoder: fast_hourglass.FastHourglassDecoder,
        lite_unet.LiteDecoder: fast_lite.FastLiteDecoder,
    }


def patch_positions(encoder: VisionTransformer, gh: int, gw: int) -> Tensor:
    """Resize the stored position embedding bicubically, as two matrix products: (1, width, gh, gw).

    The products' weights follow from the grid by tensor arithmetic, so that the graph computes them for whatever size
    arrives, equally on every backend.
    """
    stored = encoder.pos_embed[:, 1:].unflatten(1, (STORED_GRID, STORED_GRID)).permute(0, 3, 1, 2)
    rows = torch.arange(gh, device=stored.device).to(stored.dtype)
    columns = torch.arange(gw, device=stored.device).to(stored.dtype)
    as_stored = (rows[-1] == STORED_GRID - 1) & (columns[-1] == STORED_GRID - 1)
    vertical = bicubic_weights(rows, as_stored)  # (gh, 41)
    horizontal = bicubic_weights(columns, as_stored)  # (gw, 41)
    bordered = F.pad(stored, (2, 2, 2, 2), mode="replicate")
    return vertical @ bordered @ horizontal.transpose(0, 1)


def bicubic_weights(index: Tensor, as_stored: Tensor) -> Tensor:
    """Return the weight of each stored position, bordered by two on both sides, at each of `index`: (g, 41).

    `index` is 0, 1, .. g - 1. The sampling step is 37 / (g + 0.1), as published, and 1 if `as_stored` holds: then
    the weights are exactly those of the identity.
    """
    count = index[-1] + 1
    step = torch.where(as_stored, torch.ones_like(count), STORED_GRID / (count + GRID_OFFSET))
    source = (index + 0.5) * step - 0.5
    stored = torch.arange(-2, STORED_GRID + 2, device=index.device).to(index.dtype)
    return cubic_kernel((source[:, None] - stored[None, :]).abs())


def cubic_kernel(distance: Tensor) -> Tensor:
    """Return the cubic convolution kernel with a = -0.75 at distances >= 0."""
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def attention(module: Attention, x: Tensor) -> Tensor:
    """Attention as plain products and a softmax: PyTorch's own translation adds scalings and NaN guards."""
    q, k, v = module.qkv(x).unflatten(2, (3, -1, HEAD_SIZE)).unbind(2)  # each (N, tokens, heads, 64)
    scores = (q.transpose(1, 2) * HEAD_SIZE**-0.5) @ k.permute(0, 2, 3, 1)
    x = scores.softmax(dim=-1) @ v.transpose(1, 2)  # (N, heads, tokens, 64)
    return module.proj(x.transpose(1, 2).flatten(2))


METHODS = (
    (VisionTransformer, "patch_positions", patch_positions),
    (Attention, "forward", attention),
)
"""Methods that are replaced in every graph: a module's class, the method's name, and what to call with the module."""
