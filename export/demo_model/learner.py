"""Learner: the network with its loss, and its weights in the parametrisation that the optimiser trains."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from metric3d_export.demo_model.losses import accuracy, network_loss
from metric3d_export.demo_model.ship import VARIANT
from metric3d_export.demo_model.training_images import Batch
from metric3d_export.network.variants import DepthNetwork, build_network

TYPICAL_WEIGHT = 0.1


class ChannelScale(nn.Module):
    """Parametrises a weight as multiples of each output channel's usual magnitude.

    Folding batch norms left channels of very different magnitudes. A step of the optimiser now changes all of them by a
    similar fraction, as it does under a batch norm.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        size = weight.flatten(1).square().mean(dim=1).sqrt()
        size = torch.maximum(size, 0.1 * size.median())  # channels that were never used may wake up
        self.register_buffer("scale", (size / TYPICAL_WEIGHT)[:, None, None, None])

    def forward(self, shown: Tensor) -> Tensor:
        return shown * self.scale

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight / self.scale


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the state under the network's own names, scales multiplied in."""
    state: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        owner, parametrised, rest = name.partition(".parametrizations.")
        if not parametrised:
            state[name] = value.detach().clone()
        elif rest.endswith("original"):
            tensor = rest.split(".")[0]
            state[f"{owner}.{tensor}"] = getattr(network.get_submodule(owner), tensor).detach().clone()
    return state


class Learner(nn.Module):
    """The network with its loss, and its weights in the parametrisation that the optimiser trains."""

    def __init__(self, weights: dict[str, Tensor], device: torch.device | str = "cpu") -> None:
        """Start from `weights` of the whole network, or of the encoder alone."""
        super().__init__()
        self._layout = _layout(device)
        self.network: DepthNetwork = build_network(VARIANT)
        model = self.network.depth_model
        if any(name.startswith("depth_model.") for name in weights):
            self.network.load_state_dict(weights)
        else:
            model.encoder.load_state_dict(weights)
        for module in model.encoder.modules():
            if isinstance(module, nn.Conv2d):
                parametrize.register_parametrization(module, "weight", ChannelScale(module.weight.detach()))
        self.to(device=device, memory_format=self._layout)

    def estimate(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `LiteDecoder.estimate` does, computed in bfloat16 as far as that is safe."""
        image = self.network.normalise(rgb).contiguous(memory_format=self._layout)
        model = self.network.depth_model
        with torch.autocast(image.device.type, torch.bfloat16):
            return model.decoder.estimate(model.encoder(image))

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch."""
        return network_loss(*self.estimate(batch.rgb), self.network.depth_model.decoder, batch)

    @torch.no_grad()
    def errors(self, batch: Batch) -> dict[str, float]:
        """Return the mean errors over a batch, at full resolution, in float32."""
        predictions = [self.network(image) for image in self.network.normalise(batch.rgb).split(4)]
        depth, normal = (torch.cat([getattr(p, name) for p in predictions]) for name in ("depth", "normal"))
        return accuracy(depth, normal, batch)


def _layout(device: torch.device | str) -> torch.memory_format:
    """Return the order of the axes in memory that trains fastest on a device.

    On an H100 channels last takes a tenth less for a step (79 ms and 92 ms for 128 images of 192 x 256, PyTorch 2.11),
    but 10 s more for the first step of each size of image.
    """
    return torch.channels_last if torch.device(device).type == "cpu" else torch.contiguous_format


def compute_depthwise_in_float32(network: nn.Module) -> None:
    """Keep depthwise convolutions out of autocast: on CPUs their bfloat16 gradients take up to 20 times as long."""

    def plainly(convolution: nn.Conv2d) -> Any:
        forward = convolution.forward

        def run(x: Tensor) -> Tensor:
            with torch.autocast("cpu", enabled=False):
                return forward(x.float())

        return run

    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.forward = plainly(module)
