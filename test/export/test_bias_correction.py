"""Biases take back what rounded weights add to the mean result of a layer."""

import pytest
import torch
from torch import nn

from metric3d_export import bias_correction, guard
from metric3d_export.bias_correction import correct_biases, measure_mean_inputs
from metric3d_export.progress import Silence

LAYERS = {
    "linear": (nn.Linear(6, 4), (5, 7, 6)),
    "convolution": (nn.Conv2d(6, 4, 3), (2, 6, 9, 8)),
    "by groups": (nn.Conv2d(6, 4, 3, groups=2), (2, 6, 9, 8)),
    "depthwise": (nn.Conv2d(6, 6, 5, groups=6), (2, 6, 9, 8)),
    "transposed": (nn.ConvTranspose2d(6, 4, 2, stride=2), (2, 6, 5, 4)),
}


def coarse(name, weight, axis):
    return (weight * 8).round() / 8


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
    (corrected,) = correct_biases(network, {"0": levels.double()}, coarse).items()
    name, bias = corrected
    assert name == "0.bias"
    with torch.no_grad():
        expected = means(layer(x), channel)
        rounded = nn.Sequential(layer).state_dict()
        result = torch.func.functional_call(network, {"0.weight": coarse("", rounded["0.weight"], 0)}, x)
        assert (means(result, channel) - expected).abs().max() > 1e-3
        result = torch.func.functional_call(
            network, {"0.weight": coarse("", rounded["0.weight"], 0), "0.bias": bias}, x
        )
    torch.testing.assert_close(means(result, channel), expected, rtol=1e-5, atol=1e-5)


def test_layers_whose_weights_stay_are_left_alone():
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False), nn.ReLU())
    assert correct_biases(network, {"0": torch.ones(3), "1": torch.ones(2)}, lambda name, weight, axis: weight) == {}
    assert set(correct_biases(network, {"0": torch.ones(3), "1": torch.ones(2)}, coarse)) == {"0.bias"}


def test_the_means_of_every_layer_are_those_of_all_its_calls(demo_network, monkeypatch):
    monkeypatch.setattr(bias_correction, "ROOM_SIZES_HW", ((56, 84),))
    monkeypatch.setattr(bias_correction, "PATTERN_SIZES_HW", ((61, 45),))
    found = measure_mean_inputs(demo_network, progress=Silence())
    layers = {
        name: module for name, module in demo_network.named_modules() if isinstance(module, bias_correction.Layer)
    }
    assert found.keys() == layers.keys()
    assert not any(module._forward_pre_hooks for module in layers.values())
    for name, mean in found.items():
        channels = layers[name].in_features if isinstance(layers[name], nn.Linear) else layers[name].in_channels
        assert mean.shape == (channels,)
        assert mean.dtype == torch.float64
    # Attention's outputs and what leaves a norm have means of either sign; what leaves a ReLU has none below zero.
    assert found["depth_model.decoder.depth_regressor.2"].min() >= 0
    assert found["depth_model.encoder.blocks.0.3.mlp.fc1"].min() < 0


def test_replaced_biases_are_those_of_what_is_taken_meanwhile_and_of_nothing_after():
    network = nn.Sequential(nn.Linear(3, 2))
    before, other = network[0].bias.detach().clone(), torch.tensor([5.0, 6.0])
    with bias_correction.biases_replaced(network, {"0.bias": other}):
        taken = network.state_dict()["0.bias"]
    assert torch.equal(taken, other)
    assert torch.equal(network[0].bias, before)


def test_calibration_sees_other_rooms_than_the_guard():
    assert bias_correction._FIRST_ROOM >= 1  # the guard's is the very first
    assert set(bias_correction.ROOM_SIZES_HW).isdisjoint(guard.ROOM_SIZES_HW)
