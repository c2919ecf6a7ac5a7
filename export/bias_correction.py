"""Takes back, by the biases, what rounding the weights adds to a layer's mean result.

Rounding errors of weights are fixed numbers: where a layer's inputs have a mean, as they have after every ReLU, the
errors times that mean are a constant, which moves everything that follows in the same direction.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from metric3d_export.graph import ContractModel
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.progress import Progress
from metric3d_export.verify import sample_image
from metric3d_ros.evaluation.scenes import HeldOutScenes

ReadBack = Callable[[str, Tensor, int], Tensor]
"""From a weight's name, its values and the axis of its output channels to the values that the file gives back."""

ROOM_SIZES_HW = ((196, 252), (168, 308))
PATTERN_SIZES_HW = ((224, 140), (70, 45))
"""What the means are taken over: other rooms and patterns than a reduced model is judged on."""

_FIRST_ROOM = 1  # the one before is the guard's
_ROOMS = 1
_PATTERN_FOCAL_PX = 800.0

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def measure_mean_inputs(network: DepthNetwork, *, progress: Progress) -> dict[str, Tensor]:
    """Run the network on rooms and patterns; return each layer's mean input by name: (channels,) float64."""
    images = []
    for size_hw in ROOM_SIZES_HW:
        rooms = islice(HeldOutScenes(_FIRST_ROOM + _ROOMS, size_hw), _FIRST_ROOM, None)
        images += [(room.rgb, room.camera.focal_px) for room in rooms]
    images += [(sample_image(*size, seed=1000 + i), _PATTERN_FOCAL_PX) for i, size in enumerate(PATTERN_SIZES_HW)]
    contract = ContractModel(network).eval()
    with _mean_inputs(network) as means:
        for i, (image, focal_px) in enumerate(images, start=1):
            progress.stage(f"measuring mean inputs of the layers, image {i} of {len(images)}")
            with torch.inference_mode():
                contract(torch.from_numpy(np.ascontiguousarray(image[None])), torch.tensor([focal_px]))
    return {name: total / count for name, (total, count) in means.items()}


def correct_biases(network: DepthNetwork, mean_inputs: dict[str, Tensor], read_back: ReadBack) -> dict[str, Tensor]:
    """Return, by name, the biases with which layers of stored weights have the mean results they had before."""
    corrected = {}
    for name, layer in _layers(network):
        if layer.bias is None or name not in mean_inputs:
            continue
        axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        lost = (layer.weight - read_back(f"{name}.weight", layer.weight, axis)).detach()
        if lost.count_nonzero():
            corrected[f"{name}.bias"] = layer.bias.detach() + _mean_result(layer, lost, mean_inputs[name])
    return corrected


@contextlib.contextmanager
def biases_replaced(network: DepthNetwork, biases: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the context, `network` has the given biases; what was taken from it there keeps them."""
    parameters = dict(network.named_parameters())
    before = {name: parameters[name].data for name in biases}
    try:
        for name, bias in biases.items():
            parameters[name].data = bias
        yield
    finally:
        for name, bias in before.items():
            parameters[name].data = bias


def _mean_result(layer: Layer, weight: Tensor, mean_input: Tensor) -> Tensor:
    """Return what a layer with `weight` and no bias makes of its mean input, away from the border: (channels,)."""
    mean = mean_input.to(weight.dtype)
    if isinstance(layer, nn.Linear):
        return weight @ mean
    if isinstance(layer, nn.ConvTranspose2d):
        return torch.einsum("ioyx,i->o", weight, mean) / math.prod(layer.stride)
    by_group = mean.reshape(layer.groups, -1).repeat_interleave(layer.out_channels // layer.groups, dim=0)
    return torch.einsum("oiyx,oi->o", weight, by_group)


def _layers(network: DepthNetwork) -> Iterator[tuple[str, Layer]]:
    for name, module in network.named_modules():
        if isinstance(module, Layer):
            yield name, module


@contextlib.contextmanager
def _mean_inputs(network: DepthNetwork) -> Iterator[dict[str, tuple[Tensor, int]]]:
    """Collect, by layer, the sum of the mean inputs of all its calls, and how many there were."""
    found: dict[str, tuple[Tensor, int]] = {}

    def add(name: str, layer: Layer, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach()
        channels = -1 if isinstance(layer, nn.Linear) else 1
        mean = x.double().mean(dim=[dim for dim in range(x.dim()) if dim != channels % x.dim()])
        total, count = found.get(name, (torch.zeros(()), 0))
        found[name] = (total + mean, count + 1)

    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: add(name, layer, inputs))
        for name, layer in _layers(network)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
