"""Weights are rounded such that the layers' results change least, and biases take back what remains in the mean."""

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import nn

from metric3d_export.checks import guard
from metric3d_export.graph.tracing import trace_graph
from metric3d_export.network.roles import places_of_weights
from metric3d_export.patterns import sample_image
from metric3d_export.precision import calibration_images as calibration
from metric3d_export.precision import float16, int8, layer_inputs, weight_rounding
from metric3d_export.precision.calibration_images import calibration_images
from metric3d_export.precision.layer_inputs import Inputs, layers_of, measure_inputs
from metric3d_export.precision.precisions import PRECISIONS
from metric3d_export.precision.weight_rounding import (
    correct_biases,
    parameters_replaced,
    reduce_parameters,
    round_layer,
    round_with_feedback,
)
from metric3d_export.progress import Silence

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


IMAGES = [(sample_image(56, 84, seed=1), 500.0), (sample_image(61, 45, seed=2), 800.0)]


def test_the_means_of_every_layer_are_those_of_all_its_calls(demo_network):
    found = measure_inputs(demo_network, IMAGES)
    layers = layers_of(demo_network)
    assert found.keys() == layers.keys()
    assert not any(module._forward_pre_hooks for module in layers.values())
    for name, (mean, moments) in found.items():
        channels = layers[name].in_features if isinstance(layers[name], nn.Linear) else layers[name].in_channels
        assert mean.shape == (channels,)
        assert mean.dtype == torch.float64
        assert moments is None
    # Attention's outputs and what leaves a norm have means of either sign; what leaves a ReLU has none below zero.
    assert found["depth_model.decoder.depth_regressor.2"].mean.min() >= 0
    assert found["depth_model.encoder.blocks.0.3.mlp.fc1"].mean.min() < 0


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 4), (5, 7, 6)),
        (nn.Conv2d(6, 4, 3, padding=1), (2, 6, 9, 8)),
        (nn.Conv2d(6, 4, 2, stride=2), (2, 6, 9, 8)),
        (nn.Conv2d(6, 4, (3, 2), dilation=(2, 3), padding=(1, 2)), (2, 6, 9, 8)),
        (nn.ConvTranspose2d(6, 4, 2, stride=2), (2, 6, 5, 4)),
    ],
    ids=["linear", "convolution", "strided", "dilated", "transposed"],
)
def test_input_vectors_are_what_the_weights_multiply(layer, shape):
    torch.manual_seed(1)
    x = torch.randn(shape)
    rows = layer_inputs._input_vectors(layer, x)
    assert rows.shape[1] == layer_inputs.count_inputs(layer)
    with torch.no_grad():
        if isinstance(layer, nn.ConvTranspose2d):
            expected = layer(x) - layer.bias[:, None, None]
            found = (
                (rows @ layer.weight.flatten(1))
                .reshape(2, 5, 4, 4, 2, 2)
                .permute(0, 3, 1, 4, 2, 5)
                .reshape(2, 4, 10, 8)
            )
        else:
            expected = layer(x) - (layer.bias if isinstance(layer, nn.Linear) else layer.bias[:, None, None])
            found = rows @ layer.weight.flatten(1).T
            if not isinstance(layer, nn.Linear):
                found = found.reshape(2, *expected.shape[2:], 4).permute(0, 3, 1, 2)
    torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


class TwoCalls(nn.Module):
    """Reads the colours, and a part of them once more."""

    def __init__(self):
        super().__init__()
        self.read = nn.Linear(3, 2)
        self.unread = nn.Linear(3, 2)

    def forward(self, image):
        self.read(image)
        self.read(image[:, ::7, :5])


def test_means_and_moments_are_those_over_all_calls_on_all_images(monkeypatch):
    network = TwoCalls()
    monkeypatch.setattr(layer_inputs, "ContractModel", lambda network: Colours(network))
    found = measure_inputs(network, IMAGES, moments_of={"read"})
    assert found.keys() == {"read"}
    calls = []
    for image, _ in IMAGES:
        for seen in (image, image[::7, :5]):
            rows = torch.from_numpy(seen.reshape(-1, 3)).float()
            taken = rows[torch.linspace(0, len(rows) - 1, min(len(rows), layer_inputs.ROWS_PER_CALL)).long()]
            calls.append((rows.double().mean(dim=0), taken.T @ taken / len(taken)))
    mean, moments = (torch.stack(values).mean(dim=0) for values in zip(*calls, strict=True))
    torch.testing.assert_close(found["read"].mean, mean)
    torch.testing.assert_close(found["read"].moments, moments)


class Colours(nn.Module):
    """Stands for the contract: gives the network an image as it is."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image, focal_px):
        return self.network(image.float())


def correlated(inputs: int, rows: int) -> torch.Tensor:
    """Vectors of which a few directions hold most, as what a network's layers read."""
    torch.manual_seed(4)
    return torch.randn(rows, 6) @ torch.randn(6, inputs) + 0.05 * torch.randn(rows, inputs) + 1


def test_feedback_changes_the_results_much_less_than_rounding_to_the_nearest_on_vectors_it_has_not_seen():
    x = correlated(300, 4000)
    seen, other = x[:3000], x[3000:]
    weight = torch.randn(40, 300)
    rounded = round_with_feedback(weight, seen.T @ seen / len(seen))
    assert torch.equal(rounded, rounded.half().float())
    # Each is one of the values about its weight, or a few steps away where it takes back errors.
    assert ((rounded - weight).abs() <= 8 * weight.abs() * 2**-11 + 1e-3).all()
    error = ((rounded - weight) @ other.T).square().mean()
    nearest = ((weight.half().float() - weight) @ other.T).square().mean()
    assert error < 0.1 * nearest


@pytest.mark.parametrize("shape", [(40, 300), (1, 300), (40, 2)])
def test_feedback_in_bytes_keeps_within_the_steps_of_each_output_which_can_be_told_from_the_result(shape):
    x = correlated(shape[1], 4000)
    seen, other = x[:3000], x[3000:]
    weight = torch.randn(shape) * torch.logspace(-3, 3, shape[0])[:, None]
    step = int8.channel_scales(weight, 0)
    rounded = round_with_feedback(weight, seen.T @ seen / len(seen), step=step[:, 0])
    torch.testing.assert_close(int8.channel_scales(rounded, 0), step)
    count = rounded / step
    torch.testing.assert_close(count, count.round(), rtol=0, atol=1e-3)
    if shape[1] > 2:
        error = ((rounded - weight) @ other.T).square().mean(dim=1)
        nearest = ((int8.read_back("w.weight", weight, 0) - weight) @ other.T).square().mean(dim=1)
        assert (error < 0.2 * nearest).all()


def test_what_is_taken_back_stays_within_the_steps():
    # The first input is ten times the second, so that half a step of the one is too much for the other.
    moments = torch.tensor([[100.0, 10.0, 0.0], [10.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    rounded = round_with_feedback(torch.tensor([[100.49, 126.0, 127.0]]), moments, step=torch.ones(1))
    assert rounded.tolist() == [[100, 127, 127]]


def test_moments_that_say_nothing_leave_the_nearest_steps():
    weight = torch.randn(3, 4)
    step = int8.channel_scales(weight, 0)
    found = round_with_feedback(weight, torch.zeros(4, 4), step=step[:, 0])
    torch.testing.assert_close(found, int8.read_back("w.weight", weight, 0))


def test_a_channel_of_zeros_stays_zero_in_bytes():
    weight = torch.tensor([[0.0, 0.0], [1.0, 0.3]])
    step = int8.channel_scales(weight, 0)[:, 0]
    rounded = round_with_feedback(weight, torch.tensor([[1.0, 0.9], [0.9, 1.0]]), step=step)
    assert rounded[0].tolist() == [0, 0]


def test_without_correlation_feedback_is_rounding_to_the_nearest():
    weight = torch.randn(5, 200)
    assert torch.equal(round_with_feedback(weight, torch.eye(200)), weight.half().float())


def test_the_inputs_that_matter_most_are_rounded_first():
    # They are left to themselves: their weights are rounded to the nearest, and the others' take back their errors.
    x = correlated(64, 500)
    x[:, 40] *= 100
    weight = torch.randn(8, 64)
    rounded = round_with_feedback(weight, x.T @ x / 500)
    assert torch.equal(rounded[:, 40], weight[:, 40].half().float())


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e20, 1e36])
def test_the_scale_of_moments_does_not_matter(scale):
    x = correlated(64, 500)
    weight, moments = torch.randn(8, 64), x.T @ x / 500
    expected = round_with_feedback(weight, moments)
    different = round_with_feedback(weight, moments * scale) != expected
    assert different.float().mean() < 0.02  # a tie now and then


@pytest.mark.parametrize("moments", [torch.zeros(4, 4), torch.full((4, 4), torch.nan)])
def test_moments_that_say_nothing_leave_the_nearest_values(moments):
    weight = torch.randn(3, 4)
    assert torch.equal(round_with_feedback(weight, moments), weight.half().float())


def test_weights_that_float16_holds_are_not_changed():
    x = correlated(64, 500)
    weight = torch.randn(8, 64).half().float()
    assert torch.equal(round_with_feedback(weight, x.T @ x / 500), weight)


def test_a_transposed_convolution_is_rounded_over_its_input_channels():
    layer = nn.ConvTranspose2d(64, 3, 2, stride=2)
    with torch.no_grad():
        layer.weight *= torch.tensor([1.0, 10, 100])[:, None, None]
    x = correlated(64, 500)
    moments = x.T @ x / 500
    rounded = round_layer(layer, moments)
    assert rounded.shape == layer.weight.shape
    one = layer.weight.detach()[:, 1, 0, 1]
    assert torch.equal(rounded[:, 1, 0, 1], round_with_feedback(one[None], moments)[0])
    in_bytes = round_layer(layer, moments, steps=int8.channel_scales)
    step = int8.channel_scales(layer.weight, 1)
    torch.testing.assert_close(int8.channel_scales(in_bytes, 1), step)
    expected = round_with_feedback(one[None], moments, step=step[0, 1, 0])[0]
    torch.testing.assert_close(in_bytes[:, 1, 0, 1], expected)


@pytest.fixture
def few_images(monkeypatch):
    monkeypatch.setattr(weight_rounding, "calibration_images", lambda: IMAGES)


def test_a_network_is_rounded_but_for_what_stays_float32_and_is_left_as_it_was(demo_network, few_images, monkeypatch):
    monkeypatch.setattr(weight_rounding, "MOMENTS_BYTES", 2 << 20)  # several passes
    before = {name: tensor.clone() for name, tensor in demo_network.state_dict().items()}
    found = reduce_parameters(demo_network, float16.read_back, progress=Silence())
    assert all(torch.equal(tensor, before[name]) for name, tensor in demo_network.state_dict().items())
    weights = {name: tensor for name, tensor in found.items() if tensor.dim() > 1}
    assert all(torch.equal(tensor, tensor.half().float()) for tensor in weights.values())
    places = places_of_weights(demo_network)
    inexact = {
        name
        for name, tensor in demo_network.named_parameters()
        if tensor.dim() > 1
        and not float16.is_stored_whole(tensor, places[name])
        and not torch.equal(tensor.half().float(), tensor)
    }
    assert weights.keys() == inexact
    assert any(not torch.equal(tensor, before[name].half().float()) for name, tensor in weights.items())
    assert {name.rpartition(".")[2] for name in found.keys() - inexact} == {"bias"}


def test_bytes_are_stored_as_they_were_rounded(demo_network, few_images):
    kind = PRECISIONS["int8"]
    found = reduce_parameters(demo_network, kind.read_back, steps=kind.steps, progress=Silence())
    before = demo_network.state_dict()
    nearest = {name: kind.read_back(name, before[name], 0) for name in found if name.endswith("fc1.weight")}
    assert nearest
    assert all(not torch.equal(found[name], tensor) for name, tensor in nearest.items())
    with parameters_replaced(demo_network, found):
        traced = trace_graph(demo_network)
        stored = kind.rewrite(traced)
    bytes_ = [weight for weight in stored if weight.kind == TensorProto.UINT8]
    # The recurrent units' weights are stored in parts with steps of their own.
    rounded_before = [weight for weight in bytes_ if ".gru" not in weight.name and ".gates." not in weight.name]
    assert len(rounded_before) > 60
    for weight in rounded_before:
        count = weight.tensor / weight.scale
        torch.testing.assert_close(count, count.round(), rtol=0, atol=1e-3, msg=weight.name)


def test_layers_of_too_many_inputs_and_convolutions_by_groups_are_rounded_to_the_nearest(few_images, monkeypatch):
    network = nn.Sequential(nn.Linear(20, 6), nn.Linear(6, 8), nn.Conv2d(8, 8, 1, groups=2), nn.Linear(5, 3))
    inputs = {
        "0": Inputs(torch.ones(20).double(), None),
        "1": Inputs(torch.ones(6).double(), torch.eye(6) + 1),
        "2": Inputs(torch.ones(8).double(), None),
    }  # and no image reaches the last
    asked = []

    def measure(network, images, *, moments_of):
        asked.append(set(moments_of))
        return dict(inputs)

    monkeypatch.setattr(weight_rounding, "measure_inputs", measure)
    monkeypatch.setattr(weight_rounding, "MOST_INPUTS", 10)
    found = reduce_parameters(network, float16.read_back, progress=Silence())
    assert asked == [{"1", "3"}]
    for i in (0, 2, 3):
        assert torch.equal(found[f"{i}.weight"], network[i].weight.detach().half().float())
    assert not torch.equal(found["1.weight"], network[1].weight.detach().half().float())


def test_replaced_parameters_are_those_of_what_is_taken_meanwhile_and_of_nothing_after():
    network = nn.Sequential(nn.Linear(3, 2))
    before, other = network[0].bias.detach().clone(), torch.tensor([5.0, 6.0])
    with parameters_replaced(network, {"0.bias": other}):
        taken = network.state_dict()["0.bias"]
    assert torch.equal(taken, other)
    assert torch.equal(network[0].bias, before)


def test_calibration_sees_other_rooms_than_the_guard():
    assert min(scene for scene, _ in calibration.ROOMS) >= 1  # the guard's is the very first
    assert {size for _, size in calibration.ROOMS}.isdisjoint(guard.ROOM_SIZES_HW)


def test_calibration_images_are_the_same_each_time_and_all_different():
    images, again = calibration_images(), calibration_images()
    assert all(np.array_equal(a, b) and f == g for (a, f), (b, g) in zip(images, again, strict=True))
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image, _ in images)
    assert len({image.tobytes() for image, _ in images}) == len(images)
