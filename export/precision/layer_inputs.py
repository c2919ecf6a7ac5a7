"""The inputs of a network's layers on given images: their means and second moments."""

import contextlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.network.variants import DepthNetwork

ROWS_PER_CALL = 512
"""Of what a layer reads in one call, so many vectors are taken, evenly spread: more changed nothing measurable."""

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


class Inputs(NamedTuple):
    """The inputs of a layer, over all its calls on all images."""

    mean: Tensor  # (channels,) float64
    moments: Tensor | None  # (inputs, inputs) float32: mean of x xT over the vectors x that its weights multiply


def layers_of(network: nn.Module) -> dict[str, Layer]:
    """Return the layers whose products are with weights of their own, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Layer)}


def count_inputs(layer: Layer) -> int:
    """Return how many inputs each output of a layer is the sum of."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels
    return layer.weight[0].numel()


def has_input_vectors(layer: Layer) -> bool:
    """Whether all outputs of a layer are sums of the same inputs, as they are not in convolutions by groups."""
    return isinstance(layer, nn.Linear) or layer.groups == 1


def measure_inputs(
    network: DepthNetwork, images: list[tuple[np.ndarray, float]], *, moments_of: Collection[str] = ()
) -> dict[str, Inputs]:
    """Run the network on the images; return the inputs of each of its layers, by name.

    `moments_of` names the layers whose moments are wanted; each must have input vectors.
    """
    contract = ContractModel(network).eval()
    with _collecting(network, moments_of) as found, torch.inference_mode():
        for image, focal_px in tqdm(images, desc="calibrating", leave=False, disable=None):
            contract(torch.from_numpy(np.ascontiguousarray(image[None])), torch.tensor([focal_px]))
        for mean, moments, calls in found.values():
            mean /= calls
            if moments is not None:
                moments /= calls  # in place: all of them are `weight_rounding.MOMENTS_BYTES`
    return {name: Inputs(mean, moments) for name, (mean, moments, _) in found.items()}


@contextlib.contextmanager
def _collecting(
    network: nn.Module, moments_of: Collection[str]
) -> Iterator[dict[str, tuple[Tensor, Tensor | None, int]]]:
    """Collect, by layer, the sums over its calls of mean input and moments, and the number of calls."""
    found: dict[str, tuple[Tensor, Tensor | None, int]] = {}

    def add(name: str, layer: Layer, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach()
        channels = x.dim() - 1 if isinstance(layer, nn.Linear) else 1
        mean = x.double().mean(dim=[dim for dim in range(x.dim()) if dim != channels])
        moments = None
        if name in moments_of:
            rows = _input_vectors(layer, x)
            moments = rows.T @ rows / len(rows)
        if name in found:
            mean_so_far, moments_so_far, calls = found[name]
            mean += mean_so_far
            if moments is not None and moments_so_far is not None:
                moments += moments_so_far
        else:
            calls = 0
        found[name] = (mean, moments, calls + 1)

    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: add(name, layer, inputs))
        for name, layer in layers_of(network).items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _input_vectors(layer: Layer, x: Tensor) -> Tensor:
    """Return vectors that the layer's weights multiply, at most `ROWS_PER_CALL`: (rows, inputs)."""
    if isinstance(layer, nn.Linear):
        rows = x.flatten(0, -2)
        return rows[_evenly(len(rows))]
    if isinstance(layer, nn.ConvTranspose2d):
        rows = x.permute(0, 2, 3, 1).flatten(0, 2)
        return rows[_evenly(len(rows))]
    if isinstance(layer.padding, str):
        raise TypeError(f"padding {layer.padding!r} is not understood")
    # Views: of all the windows, which may hold 9 or 49 times the map, only those that are taken are copied.
    windows = F.pad(x, (layer.padding[1],) * 2 + (layer.padding[0],) * 2)
    for dim, (size, dilation, stride) in enumerate(zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)):
        windows = windows.unfold(2 + dim, dilation * (size - 1) + 1, stride)[..., ::dilation]
    images, _, height, width = windows.shape[:4]
    place = _evenly(images * height * width)
    image, row, column = place // (height * width), place // width % height, place % width
    return windows[image, :, row, column].flatten(1)


def _evenly(count: int) -> Tensor:
    """Return at most `ROWS_PER_CALL` of the indices below `count`."""
    return torch.linspace(0, count - 1, min(count, ROWS_PER_CALL)).long()
