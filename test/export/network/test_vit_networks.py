"""The networks compute what the published ones compute, and can be trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_files import Golden

from metric3d_export.network import vit
from metric3d_export.network.raft_dpt import upsample_state
from metric3d_export.network.variants import build_network
from metric3d_export.weights.checkpoints import load_network, stand_in_weights
from metric3d_ros.errors import ConfigurationError

PARAMETERS = Path(__file__).parents[2] / "data" / "parameters"
SLOW = pytest.mark.slow
LARGE_GOLDEN_FILES = ("vit_large_84x112", "vit_giant2_56x84")


def predict(network, rgb: torch.Tensor):
    with torch.inference_mode():
        return network(network.normalise(rgb.float()))


@pytest.mark.parametrize("variant", ["vit_small", "vit_large", "vit_giant2"])
def test_parameters_have_the_published_names_and_shapes(variant):
    with torch.device("meta"):
        state = build_network(variant).state_dict()
    published = json.loads((PARAMETERS / f"{variant}.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in state.items()} == published


@pytest.fixture
def two_threads():
    """As when the golden files were made: the decoder's sums depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def depth_limit(small_network) -> float:
    """1e-4 if this CPU's kernels round as those that made the golden files; the encoder's tokens reveal it.

    Elsewhere single pixels of the small network's differ by up to 5e-4, as the golden files themselves do from float64.
    """
    golden = Golden("vit_small_112x196")
    with torch.inference_mode():
        tokens = small_network.depth_model.encoder(small_network.normalise(torch.from_numpy(golden.rgb).float()))[-1]
    return 1e-4 if torch.equal(tokens[:, :8], torch.from_numpy(golden.first_tokens)) else 1e-3


@pytest.mark.parametrize(
    "name",
    ["vit_small_112x196", "vit_small_168x280", *(pytest.param(n, marks=SLOW) for n in LARGE_GOLDEN_FILES)],
)
def test_outputs_equal_the_published_models(name, depth_limit, two_threads):
    golden = Golden(name)
    variant = name.rpartition("_")[0]
    network, _ = load_network(variant, stand_in_weights(variant))
    depth, confidence, normal, normal_confidence = predict(network, torch.from_numpy(golden.rgb))
    depth_differences = golden.differences("depth", depth[0].numpy())
    assert depth_differences.max() < (depth_limit if variant == "vit_small" else 1e-4)
    assert np.quantile(depth_differences, 0.99) < 1e-4
    assert golden.differences("confidence", confidence[0].numpy()).max() < 1e-4
    assert golden.differences("normal", normal[0].numpy()).max() < 0.1
    assert golden.differences("normal_confidence", normal_confidence[0].numpy()).max() < 1e-4


def test_the_fused_attention_kernel_gives_the_same_within_rounding(small_network, monkeypatch):
    monkeypatch.setattr(vit, "PLAIN_KERNEL_TOKENS", 0)
    golden = Golden("vit_small_112x196")
    depth, confidence, normal, _ = predict(small_network, torch.from_numpy(golden.rgb))
    depth_differences = golden.differences("depth", depth[0].numpy())
    assert depth_differences.max() < 1e-3
    assert np.quantile(depth_differences, 0.99) < 1e-4
    assert golden.differences("confidence", confidence[0].numpy()).max() < 1e-4
    assert golden.differences("normal", normal[0].numpy()).max() < 0.1


def test_images_of_a_batch_do_not_influence_each_other(demo_network):
    rgb = torch.rand(3, 3, 56, 140, generator=torch.Generator().manual_seed(0)) * 255
    together = predict(demo_network, rgb)
    for i in range(3):
        alone = predict(demo_network, rgb[i : i + 1])
        torch.testing.assert_close(together.depth[i], alone.depth[0], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(together.normal[i], alone.normal[0], rtol=1e-3, atol=1e-3)


def test_outputs_are_within_their_ranges(demo_network):
    rgb = torch.rand(1, 3, 84, 56, generator=torch.Generator().manual_seed(1)) * 255
    depth, confidence, normal, normal_confidence = predict(demo_network, rgb)
    assert depth.shape == confidence.shape == normal_confidence.shape == (1, 84, 56)
    assert normal.shape == (1, 3, 84, 56)
    assert depth.min() >= 0.1
    assert depth.max() <= 200
    torch.testing.assert_close(normal.norm(dim=1), torch.ones(1, 84, 56))
    assert normal_confidence.min() > 0


def test_the_mean_colour_is_zero_once_normalised(demo_network):
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None].expand(1, 3, 28, 28)
    assert torch.equal(demo_network.normalise(mean), torch.zeros(1, 3, 28, 28))


def test_the_position_embedding_is_used_as_stored_on_its_own_grid(demo_network):
    encoder = demo_network.depth_model.encoder
    stored = encoder.pos_embed[0, 1:].T.reshape(1, -1, 37, 37)
    assert torch.equal(encoder.patch_positions(37, 37), stored)
    # Along one axis alone 37 is resized like any other size, by 37 / 37.1.
    assert not torch.equal(encoder.patch_positions(37, 38)[..., :37], stored)


def test_a_convex_upsampling_keeps_a_constant_and_shifts_by_a_one_hot_mask():
    state = torch.arange(12.0).reshape(1, 1, 3, 4).expand(1, 6, 3, 4)
    right_neighbour = torch.full((1, 9, 16, 3, 4), -1e4)
    right_neighbour[:, 5] = 1e4  # neighbours are counted row by row: 4 is the pixel itself, 5 the one to its right
    fine = upsample_state(state, right_neighbour.flatten(1, 2))
    assert fine.shape == (1, 6, 12, 16)
    expected = torch.tensor([[1.0, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0]])  # zero beyond the border
    torch.testing.assert_close(fine[0, 0], expected.repeat_interleave(4, 0).repeat_interleave(4, 1))


def test_gradients_reach_every_parameter_from_every_result():
    torch.manual_seed(0)
    network = build_network("vit_demo")
    image = network.normalise(torch.rand(2, 3, 56, 84) * 255)
    estimates = network.depth_model.estimate(image, every_mask=True)
    assert len(estimates.states) == network.variant.iterations + 1
    assert len(estimates.masks) == network.variant.iterations
    loss = estimates.first_depth.mean() + estimates.bin_logits.square().mean()
    for state, mask in zip(estimates.states[1:], estimates.masks, strict=True):
        loss = loss + upsample_state(state, mask).square().mean()
    loss.backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.abs().sum() > 0)
    ]
    assert without == []


def test_the_last_estimate_is_what_forward_returns(demo_network):
    image = torch.randn(1, 3, 56, 56, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        estimates = demo_network.depth_model.estimate(image)
        last = demo_network.depth_model.decoder.read_state(upsample_state(estimates.states[-1], estimates.masks[-1]))
        assert torch.equal(last.depth, demo_network(image).depth)
    assert len(estimates.masks) == 1


def test_an_unknown_variant_is_named_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"vit_tiny.*vit_small, vit_large, vit_giant2"):
        build_network("vit_tiny")
