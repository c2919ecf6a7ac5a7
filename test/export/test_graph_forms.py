"""The forms that networks take in a graph equal the published operations."""

import pytest
import torch

from metric3d_export.graph_forms import bicubic_weights, cubic_kernel, graph_forms


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


@pytest.mark.parametrize("grid", [(2, 2), (8, 14), (14, 8), (37, 37), (37, 20), (36, 37), (44, 76), (6, 200)])
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
        with graph_forms(demo_network):
            torch.testing.assert_close(attention(tokens), fused, rtol=1e-5, atol=1e-6)


def test_the_published_operations_are_back_after_a_failure(demo_network):
    encoder = demo_network.depth_model.encoder
    in_context = []

    def fail_in_context():
        with graph_forms(demo_network):
            in_context.append("patch_positions" in vars(encoder))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail_in_context()
    assert in_context == [True]
    assert "patch_positions" not in vars(encoder)
    assert "forward" not in vars(encoder.blocks[0][0].attn)
