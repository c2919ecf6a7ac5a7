"""What a network's layers read: means and second moments over the calibration images."""

import pytest
import torch
from torch import nn

from metric3d_export.precision import layer_inputs
from metric3d_export.precision.layer_inputs import layers_of, measure_inputs
from metric3d_ros.comparison.patterns import sample_image

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
