"""Forms of network parts that compute the same as `network` does, and make a better graph.

The networks under `network` keep the published operations in the published order. A form replaces one of them while a
graph is traced, for one of two reasons: the published one would freeze the traced size into the graph, or it costs
more than an equal one.
"""

import contextlib
import functools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.network.vit import GRID_OFFSET, HEAD_SIZE, STORED_GRID, Attention, VisionTransformer


@contextlib.contextmanager
def graph_forms(network: nn.Module) -> Iterator[None]:
    """Within the context, `network` computes with the forms of this module."""
    replaced: list[tuple[nn.Module, str]] = []
    try:
        for module in network.modules():
            for kind, name, form in FORMS:
                if isinstance(module, kind):
                    setattr(module, name, functools.partial(form, module))
                    replaced.append((module, name))
        yield
    finally:
        for module, name in replaced:
            delattr(module, name)


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

    `index` is 0, 1, .. g - 1. The sampling step is 37 / (g + 0.1), as published, and 1 where `as_stored` holds: then
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


FORMS = (
    (VisionTransformer, "patch_positions", patch_positions),
    (Attention, "forward", attention),
)
"""What is replaced: a module's class, the method's name, and the function to call with the module in its place."""
