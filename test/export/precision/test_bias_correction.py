"""Biases take back what rounded weights change in a layer's mean result."""

import pytest
import torch
from torch import nn

from metric3d_export.precision.weight_rounding import (
    correct_biases,
)

LAYERS = {
    "linear": (nn.Linear(6, 4), (5, 7, 6)),
    "convolution": (nn.Conv2d(6, 4, 3), (2, 6, 9, 8)),
    "by groups": (nn.Conv2d(6, 4, 3, groups=2), (2, 6, 9, 8)),
    "depthwise": (nn.Conv2d(6, 6, 5, groups=6), (2, 6, 9, 8)),
    "transposed": (nn.ConvTranspose2d(6, 4, 2, stride=2), (2, 6, 5, 4)),
}


def coarse(weight):
    return (weight.detach() * 8).round() / 8


def means(x: torch.Tensor, channel: int) -> torch.Tensor:
    return x.mean(dim=[dim for dim in range(x.dim()) if dim != channel])


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_of_rounded_weights_keeps_its_mean_result(kind):
    layer, shape = LAYERS[kind]
    channel = len(shape) - 1 if kind == "linear" else 1
    torch.manual_seed(3)
    # Each channel constant, so that the mean says all, at the border too.
    levels = torch.rand(shape[channel]) + 1
    x = torch.ones(shape).transpose(channel, -1).mul(levels).transpose(channel, -1)
    network = nn.Sequential(layer)
    weight = coarse(layer.weight)
    (corrected,) = correct_biases(network, {"0": levels.double()}, {"0.weight": weight}).items()
    name, bias = corrected
    assert name == "0.bias"
    with torch.no_grad():
        expected = means(layer(x), channel)
        result = torch.func.functional_call(network, {"0.weight": weight}, x)
        assert (means(result, channel) - expected).abs().max() > 1e-3
        result = torch.func.functional_call(network, {"0.weight": weight, "0.bias": bias}, x)
    torch.testing.assert_close(means(result, channel), expected, rtol=1e-5, atol=1e-5)


def test_layers_whose_weights_stay_are_left_alone():
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False), nn.ReLU())
    mean_inputs = {"0": torch.ones(3), "1": torch.ones(2)}
    assert correct_biases(network, mean_inputs, {}) == {}
    weights = {f"{i}.weight": coarse(network[i].weight) for i in (0, 1)}
    assert set(correct_biases(network, mean_inputs, weights)) == {"0.bias"}
