"""The forms that networks take in a graph equal the published operations."""

import dataclasses

import pytest
import torch

from metric3d_export.graph.forms import bicubic_weights, cubic_kernel, graph_forms
from metric3d_export.graph.tracing import trace_graph
from metric3d_export.network.variants import VARIANTS, DepthNetwork

# Two of what repeats, where one could hide that the first is special.
VIT = dataclasses.replace(VARIANTS["vit_demo"], blocks=2, iterations=2)
SWIGLU = dataclasses.replace(VIT, swiglu_hidden=256, tap_blocks=(1, 2, 3, 4), blocks=4)
CONVNEXT = dataclasses.replace(
    VARIANTS["convnext_tiny"], depths=(1, 1, 1, 1), widths=(16, 32, 64, 128), fused=(16, 32, 64)
)


def test_the_cubic_kernel_has_the_values_worked_out_by_hand():
    found = cubic_kernel(torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0]))
    # a = -0.75: (a+2)t³ - (a+3)t² + 1 up to 1, then a(t³ - 5t² + 8t - 4) up to 2.
    torch.testing.assert_close(found, torch.tensor([1.0, 0.59375, 0.0, -0.09375, 0.0, 0.0]))


@pytest.mark.parametrize("count", [1, 2, 5, 36, 37, 38, 200])
def test_the_weights_of_every_position_sum_to_one(count):
    weights = bicubic_weights(torch.arange(count, dtype=torch.float32), torch.tensor(False))
    assert weights.shape == (count, 41)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(count), rtol=0, atol=2e-5)


def test_the_weights_on_the_stored_grid_are_exactly_the_identity():
    weights = bicubic_weights(torch.arange(37, dtype=torch.float32), torch.tensor(True))
    assert torch.equal(weights[:, 2:-2], torch.eye(37))
    assert weights[:, :2].count_nonzero() == weights[:, -2:].count_nonzero() == 0


@pytest.mark.parametrize("grid", [(2, 2), (8, 14), (37, 37), (37, 20), (36, 37), (44, 76)])
def test_resized_positions_equal_pytorchs_bicubic_resizing(demo_network, grid):
    encoder = demo_network.depth_model.encoder
    with torch.inference_mode():
        published = encoder.patch_positions(*grid)
        with graph_forms(demo_network):
            form = encoder.patch_positions(*grid)
    assert form.shape == published.shape == (1, 128, *grid)
    torch.testing.assert_close(form, published, rtol=0, atol=2e-6)


def test_attention_as_operators_equals_the_fused_kernel(demo_network):
    attention = demo_network.depth_model.encoder.blocks[0][0].attn
    tokens = torch.randn(2, 29, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        fused = attention(tokens)
        with graph_forms(demo_network, optimise=False):
            torch.testing.assert_close(attention(tokens), fused, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scales_in_weights", [True, False])
@pytest.mark.parametrize("variant", [VIT, SWIGLU, CONVNEXT], ids=["vit", "swiglu and taps", "convnext"])
def test_the_cheaper_forms_give_what_the_network_gives(variant, scales_in_weights):
    torch.manual_seed(3)
    network = DepthNetwork(variant).eval()
    enliven(network)
    image = torch.randn(2, 3, 3 * variant.size_multiple, 5 * variant.size_multiple)
    with torch.inference_mode():
        published = network(image)
        with graph_forms(network, scales_in_weights=scales_in_weights):
            cheaper = network(image)
    for name, value in published._asdict().items():
        if value is not None:
            spread = float(value.std())
            assert spread > 0, name
            torch.testing.assert_close(getattr(cheaper, name), value, rtol=1e-4, atol=1e-4 * max(spread, 1), msg=name)


def test_tracing_prints_nothing_that_a_user_would_wonder_about(capfd, recwarn):
    trace_graph(DepthNetwork(CONVNEXT).eval())
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


def enliven(network: DepthNetwork) -> None:
    """Give a fresh network's zeros and ones some spread, so that a forgotten bias, scale or statistic shows."""
    with torch.no_grad():
        for name, parameter in (*network.named_parameters(), *network.named_buffers()):
            if parameter.is_floating_point() and parameter.dim() == 1 and "bins" not in name:
                parameter += 0.1 * torch.rand_like(parameter)


def test_every_cheaper_part_is_in_place_within_the_context_and_gone_after_it(demo_network):
    published = {name: type(part) for name, part in demo_network.named_modules()}
    names = set(demo_network.state_dict())
    with graph_forms(demo_network):
        kinds = {type(part).__name__ for part in demo_network.modules()}
        assert {"FastAttention", "FastDecoder", "FastFusionStep", "FastGru"} <= kinds
        assert not {"Attention", "ConvGru", "LayerScale", "UpsampleThenProject"} & kinds
    assert {name: type(part) for name, part in demo_network.named_modules()} == published
    assert set(demo_network.state_dict()) == names


def test_the_cheaper_forms_leave_the_networks_own_weights_alone(demo_network):
    before = {name: tensor.clone() for name, tensor in demo_network.state_dict().items()}
    with graph_forms(demo_network):
        pass
    for name, tensor in demo_network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_published_operations_are_back_after_a_failure(demo_network):
    encoder = demo_network.depth_model.encoder
    block = encoder.blocks[0][0]
    in_context = []

    def fail_in_context():
        with graph_forms(demo_network):
            in_context.append("patch_positions" in vars(encoder) and encoder.blocks[0][0] is not block)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail_in_context()
    assert in_context == [True]
    assert "patch_positions" not in vars(encoder)
    assert encoder.blocks[0][0] is block
