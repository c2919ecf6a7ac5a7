"""Rounds a network's weights to the values that a file can hold, such that the layers' results change least.

Rounding every weight to its nearest value is best for each weight, not for their sums. Two methods compensate most of
the error, at no cost in size or time when the model runs:

- Weights are rounded one input after another. The error that one adds to a layer's results is compensated by the
  weights of the remaining inputs, as far as these correlate with it: Frantar et al., "GPTQ", 2023, equations 2 to 4
  (arXiv 2210.17323), after Hassibi and Stork, "Optimal Brain Surgeon", 1993.
- The mean of the remaining error is a constant, which the bias compensates.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from tqdm import tqdm

from metric3d_export.network.roles import Place, places_of_modules
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.precision.calibration_images import calibration_images
from metric3d_export.precision.layer_inputs import (
    Layer,
    count_inputs,
    has_input_vectors,
    layers_of,
    measure_inputs,
)
from metric3d_export.progress import Progress

ReadBack = Callable[[str, Tensor, int, Place], Tensor]
"""From a weight's name, its values, the axis of its output channels and its place among the roles to the values that
the file gives back."""

Steps = Callable[[Tensor, int], Tensor]
"""From a weight and the axis of its output channels to the distance of the values that a file can hold, for each
channel and of a shape to broadcast: the channel's largest value is `MOST_STEPS` of them."""

MOST_STEPS = 127
"""Of a weight in 8 bits, in either direction."""
MOST_INPUTS = 4608
"""Layers of more inputs are rounded to the nearest: the work grows with the third power."""
DAMPING = 0.05
"""Damping: added to every input's moment, as a fraction of the mean one, for inputs that the images do not show."""
MOMENTS_BYTES = 1 << 30
"""Memory for moments at a time; the images are run again for the next layers."""

_COLUMNS = 128  # rounded before the weights of all the inputs to come are changed at once


def reduce_parameters(
    network: DepthNetwork, read_back: ReadBack, *, steps: Steps | None = None, progress: Progress
) -> dict[str, Tensor]:
    """Return by name the parameters to store in place of the network's: weights as a file gives them back, and biases.

    Args:
        network: with its weights; it is left as it is.
        read_back: of the precision; weights that it changes are the ones that are rounded.
        steps: of the precision; None if weights are float16.
    """
    layers = layers_of(network)
    weights: dict[str, Tensor] = {}
    places = places_of_modules(network)
    for name, layer in layers.items():
        rounded = read_back(f"{name}.weight", layer.weight.detach(), _output_axis(layer), places[layer])
        if not torch.equal(rounded, layer.weight):
            weights[f"{name}.weight"] = rounded
    if not weights:
        return {}
    images = calibration_images()
    inexact = [name for name, layer in layers.items() if f"{name}.weight" in weights and _takes_feedback(layer)]
    groups = _group(layers, inexact)
    means: dict[str, Tensor] = {}
    for i, names in enumerate(groups, start=1):
        pass_ = f", {i} of {len(groups)} times" if len(groups) > 1 else ""
        progress.stage(f"measuring what the layers read on {len(images)} images{pass_}")
        found = measure_inputs(network, images, moments_of=frozenset(names))
        means = means or {name: inputs.mean for name, inputs in found.items()}
        if names:
            progress.stage(f"rounding the weights of {len(names)} layers")
        for name in tqdm(names, desc="rounding", leave=False, disable=None):
            inputs = found.pop(name, None)
            if inputs is not None and inputs.moments is not None:  # what no image reaches keeps the nearest values
                weights[f"{name}.weight"] = round_layer(layers[name], inputs.moments, steps=steps)
    return weights | correct_biases(network, means, weights)


def _takes_feedback(layer: Layer) -> bool:
    return has_input_vectors(layer) and count_inputs(layer) <= MOST_INPUTS


def _output_axis(layer: Layer) -> int:
    return 1 if isinstance(layer, nn.ConvTranspose2d) else 0


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


def round_layer(layer: Layer, moments: Tensor, *, steps: Steps | None = None) -> Tensor:
    """Return the layer's weight as a file gives it back, errors distributed over its inputs."""
    weight = layer.weight.detach()
    step = None if steps is None else steps(weight, _output_axis(layer)).expand_as(weight)
    if isinstance(layer, nn.ConvTranspose2d):  # (inputs, outputs, h, w)
        by_row = step if step is None else step[0].flatten()
        return round_with_feedback(weight.flatten(1).T, moments, step=by_row).T.reshape(weight.shape).contiguous()
    by_row = step if step is None else step.flatten(1)[:, 0]
    return round_with_feedback(weight.flatten(1), moments, step=by_row).reshape(weight.shape)


def round_with_feedback(weight: Tensor, moments: Tensor, *, step: Tensor | None = None) -> Tensor:
    """Round such that `weight` @ x changes little for vectors x of the given second moments.

    Args:
        weight: (outputs, inputs) float32.
        moments: (inputs, inputs) mean of x xT; damped by `DAMPING` within.
        step: (outputs,) distance of the values that can be stored, `MOST_STEPS` of which span the largest of a row or
            more; None stands for float16.

    Returns:
        (outputs, inputs) float32 with values that can be stored; the nearest ones if the moments are not finite.
        A weight that is nearest to the last step stays there, so that the steps can be told from the result.
    """
    mean_moment = float(moments.diagonal().double().mean())
    if not (math.isfinite(mean_moment) and mean_moment > 0):
        return _nearest(weight.T, step, weight.T).T.contiguous()
    # The inputs that matter most first: the more are left to take back their errors.
    order = torch.argsort(moments.diagonal(), descending=True)
    damped = moments[order][:, order] / mean_moment  # their scale does not matter, so it shall not overflow
    damped.diagonal().add_(DAMPING)
    # Row j of the upper factor of the inverse holds the weights by which the inputs after j compensate an error in j.
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    given = weight.T[order]  # (inputs, outputs)
    left = given.clone()
    rounded = torch.empty_like(left)
    inputs = len(left)
    for first in range(0, inputs, _COLUMNS):
        last = min(first + _COLUMNS, inputs)
        corner = factor[first:last, first:last]
        errors = torch.empty_like(left[first:last])
        for j in range(last - first):
            values = _nearest(left[first + j], step, given[first + j])
            rounded[first + j] = values
            errors[j] = (left[first + j] - values) / corner[j, j]
            left[first + j + 1 : last] -= corner[j, j + 1 :, None] * errors[j]
        left[last:] -= factor[first:last, last:].T @ errors
    result = torch.empty_like(weight)
    result[:, order] = rounded.T
    return result


def _nearest(values: Tensor, step: Tensor | None, given: Tensor) -> Tensor:
    """Return the nearest values that can be stored for (..., outputs), which are `given` but for what is taken back."""
    if step is None:
        return values.half().float()
    count = (values / step).round_().clamp_(-MOST_STEPS, MOST_STEPS)
    count_given = (given / step).round_()
    return torch.where(count_given.abs() >= MOST_STEPS, count_given, count) * step


def correct_biases(
    network: nn.Module, mean_inputs: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return, by name, the biases with which layers of the given `weights` have the mean results they had before."""
    corrected = {}
    for name, layer in layers_of(network).items():
        weight = weights.get(f"{name}.weight")
        if weight is not None and layer.bias is not None and name in mean_inputs:
            lost = layer.weight.detach() - weight
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
