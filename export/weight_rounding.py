"""Rounds a network's weights to what a file will hold, such that the layers' results change least.

Rounding every weight to its nearest value is best for each weight, not for their sums. Two things take back most of
what it costs, at no cost in size or time when the model runs:

- float16 weights are rounded one input after another, and what the rounding of one adds to a layer's results is taken
  back by the weights of the inputs that are still to come, so far as these go along with it: Frantar et al., "GPTQ",
  2023, equations 2 to 4 (arXiv 2210.17323), from LeCun et al., "Optimal Brain Damage", 1990.
- What remains of it in the mean is a constant, and the bias takes it back.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from tqdm import tqdm

from metric3d_export.calibration import (
    Inputs,
    Layer,
    calibration_images,
    count_inputs,
    has_input_vectors,
    layers_of,
    measure_inputs,
)
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.progress import Progress

ReadBack = Callable[[str, Tensor, int], Tensor]
"""From a weight's name, its values and the axis of its output channels to the values that the file gives back."""

MOST_INPUTS = 4608
"""Layers of more inputs are rounded to the nearest: the work grows with the third power."""
DAMPING = 0.05
"""Added to every input's moment, as a part of the mean one: what the images did not show is not to be relied on."""
MOMENTS_BYTES = 1 << 30
"""So much is held of moments at a time; the images are run again for the next layers."""

_COLUMNS = 128  # rounded before the weights of all the inputs to come are changed at once


def reduce_parameters(
    network: DepthNetwork, read_back: ReadBack, *, feedback: bool, progress: Progress
) -> dict[str, Tensor]:
    """Return by name the parameters to store in place of the network's.

    Args:
        network: with its weights; it is left as it is.
        read_back: of the precision.
        feedback: weights are float16, and are returned as the file gives them back, errors distributed; otherwise only
            biases are returned, and the weights are rounded by whoever stores them.
    """
    layers = layers_of(network)
    weights: dict[str, Tensor] = {}
    if feedback:
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                rounded = read_back(name, parameter.detach(), 0)
                if not torch.equal(rounded, parameter):
                    weights[name] = rounded
    images = calibration_images()
    inexact = [name for name, layer in layers.items() if f"{name}.weight" in weights and _takes_feedback(layer)]
    groups = _group(layers, inexact)
    means: dict[str, Inputs] = {}
    for i, names in enumerate(groups, start=1):
        pass_ = f", {i} of {len(groups)} times" if len(groups) > 1 else ""
        progress.stage(f"measuring what the layers read on {len(images)} images{pass_}")
        found = measure_inputs(network, images, moments_of=frozenset(names))
        means = means or {name: inputs._replace(moments=None) for name, inputs in found.items()}
        if names:
            progress.stage(f"rounding the weights of {len(names)} layers")
        for name in tqdm(names, desc="rounding", leave=False, disable=None):
            inputs = found.pop(name, None)
            if inputs is not None and inputs.moments is not None:  # what no image reaches keeps the nearest values
                weights[f"{name}.weight"] = round_layer(layers[name], inputs.moments)

    def stored(name: str, tensor: Tensor, axis: int) -> Tensor:
        return weights.get(name, tensor) if feedback else read_back(name, tensor, axis)

    return weights | correct_biases(network, {name: inputs.mean for name, inputs in means.items()}, stored)


def _takes_feedback(layer: Layer) -> bool:
    return has_input_vectors(layer) and count_inputs(layer) <= MOST_INPUTS


def _group(layers: Mapping[str, Layer], names: list[str]) -> list[list[str]]:
    """Return the names in groups whose moments are within `MOMENTS_BYTES`; at least one group, which may be empty."""
    groups: list[list[str]] = [[]]
    held = 0
    for name in names:
        more = 4 * count_inputs(layers[name]) ** 2
        if groups[-1] and held + more > MOMENTS_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += more
    return groups


def round_layer(layer: Layer, moments: Tensor) -> Tensor:
    """Return the layer's weight with float16 values, errors distributed over its inputs."""
    weight = layer.weight.detach()
    if isinstance(layer, nn.ConvTranspose2d):  # (inputs, outputs, h, w)
        return round_with_feedback(weight.flatten(1).T, moments).T.reshape(weight.shape).contiguous()
    return round_with_feedback(weight.flatten(1), moments).reshape(weight.shape)


def round_with_feedback(weight: Tensor, moments: Tensor) -> Tensor:
    """Round to float16 values such that `weight` @ x changes little for vectors x of the given second moments.

    Args:
        weight: (outputs, inputs) float32.
        moments: (inputs, inputs) mean of x xT; damped by `DAMPING` within.

    Returns:
        (outputs, inputs) float32 with values that float16 holds; the nearest ones where the moments are not finite.
    """
    mean_moment = float(moments.diagonal().double().mean())
    if not (math.isfinite(mean_moment) and mean_moment > 0):
        return weight.half().float()
    # The inputs that matter most first: the more are left to take back their errors.
    order = torch.argsort(moments.diagonal(), descending=True)
    damped = moments[order][:, order] / mean_moment  # their scale does not matter, so it shall not overflow
    damped.diagonal().add_(DAMPING)
    # Row j of the upper factor of the inverse says how the inputs after j take back an error in j.
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    left = weight[:, order]
    rounded = torch.empty_like(left)
    inputs = left.shape[1]
    for first in range(0, inputs, _COLUMNS):
        last = min(first + _COLUMNS, inputs)
        block = left[:, first:last].T.contiguous()
        corner = factor[first:last, first:last]
        errors = torch.empty_like(block)
        for j in range(last - first):
            values = block[j].half().float()
            rounded[:, first + j] = values
            errors[j] = (block[j] - values) / corner[j, j]
            block[j + 1 :] -= corner[j, j + 1 :, None] * errors[j]
        left[:, last:] -= errors.T @ factor[first:last, last:]
    result = torch.empty_like(rounded)
    result[:, order] = rounded
    return result


def correct_biases(network: nn.Module, mean_inputs: Mapping[str, Tensor], read_back: ReadBack) -> dict[str, Tensor]:
    """Return, by name, the biases with which layers of stored weights have the mean results they had before."""
    corrected = {}
    for name, layer in layers_of(network).items():
        if layer.bias is None or name not in mean_inputs:
            continue
        axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        lost = (layer.weight - read_back(f"{name}.weight", layer.weight, axis)).detach()
        if lost.count_nonzero():
            corrected[f"{name}.bias"] = layer.bias.detach() + _mean_result(layer, lost, mean_inputs[name])
    return corrected


@contextlib.contextmanager
def parameters_replaced(network: nn.Module, replacements: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the context, `network` has the given parameters; what was taken from it there keeps them."""
    parameters = dict(network.named_parameters())
    before = {name: parameters[name].data for name in replacements}
    try:
        for name, tensor in replacements.items():
            parameters[name].data = tensor
        yield
    finally:
        for name, tensor in before.items():
            parameters[name].data = tensor


def _mean_result(layer: Layer, weight: Tensor, mean_input: Tensor) -> Tensor:
    """Return what a layer with `weight` and no bias makes of its mean input, away from the border: (channels,)."""
    mean = mean_input.to(weight.dtype)
    if isinstance(layer, nn.Linear):
        return weight @ mean
    if isinstance(layer, nn.ConvTranspose2d):
        return torch.einsum("ioyx,i->o", weight, mean) / math.prod(layer.stride)
    by_group = mean.reshape(layer.groups, -1).repeat_interleave(layer.out_channels // layer.groups, dim=0)
    return torch.einsum("oiyx,oi->o", weight, by_group)
