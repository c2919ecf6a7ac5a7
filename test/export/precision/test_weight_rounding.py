"""Weights are rounded so that the layers' results change least."""

import pytest
import torch
from onnx import TensorProto
from torch import nn

from metric3d_export.graph.tracing import trace_graph
from metric3d_export.network.roles import places_of_weights
from metric3d_export.precision import float16, int8, weight_rounding
from metric3d_export.precision.layer_inputs import Inputs
from metric3d_export.precision.precisions import PRECISIONS
from metric3d_export.precision.weight_rounding import (
    parameters_replaced,
    reduce_parameters,
    round_layer,
    round_with_feedback,
)
from metric3d_export.progress import Silence
from metric3d_ros.comparison.patterns import sample_image

IMAGES = [(sample_image(56, 84, seed=1), 500.0), (sample_image(61, 45, seed=2), 800.0)]


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
