"""The table of network variants, and the network that each row builds."""

import dataclasses
import functools

import torch
from torch import Tensor, nn

from metric3d_export.network.convnext import ConvNext
from metric3d_export.network.hourglass import HourglassDecoder
from metric3d_export.network.lite_unet import LiteDecoder, LiteEncoder
from metric3d_export.network.prediction import Prediction
from metric3d_export.network.raft_dpt import Estimates, RaftDptDecoder
from metric3d_export.network.vit import PATCH, VisionTransformer
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.model_contract import MEAN_RGB, STD_RGB


@dataclasses.dataclass(frozen=True, kw_only=True)
class VitVariant:
    """A row of the ViT family: DINOv2 encoder, RAFT-style DPT decoder, depth and normals."""

    name: str
    width: int
    blocks: int
    swiglu_hidden: int | None = None
    tap_blocks: tuple[int, ...] | None = None
    f0: int
    f1: int
    hidden: int
    iterations: int
    published_file: str | None
    """Name of the authors' checkpoint; None for a network that they have not published."""
    depth_range_m: tuple[float, float] = (0.1, 200.0)
    size_multiple: int = 28
    training_size_hw: tuple[int, int] = (616, 1064)
    has_normals: bool = True

    @property
    def unread_parameters(self) -> frozenset[str]:
        """Published parameters that the output does not depend on, which a checkpoint may therefore lack."""
        names = {"depth_model.encoder.mask_token"}
        if self.tap_blocks is not None:
            names |= {"depth_model.encoder.norm.weight", "depth_model.encoder.norm.bias"}
        return frozenset(names)

    def build(self) -> nn.Module:
        encoder = VisionTransformer(
            width=self.width, blocks=self.blocks, swiglu_hidden=self.swiglu_hidden, tap_blocks=self.tap_blocks
        )
        decoder = RaftDptDecoder(
            width=self.width,
            f0=self.f0,
            f1=self.f1,
            hidden=self.hidden,
            iterations=self.iterations,
            depth_range_m=self.depth_range_m,
        )
        return VitDepthModel(encoder, decoder)


class VitDepthModel(nn.Module):
    def __init__(self, encoder: VisionTransformer, decoder: RaftDptDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, image: Tensor) -> Prediction:
        return self.decoder(self.encoder(image), image.shape[-2] // PATCH, image.shape[-1] // PATCH)

    def estimate(self, image: Tensor, *, every_mask: bool = False) -> Estimates:
        """Return the intermediate results that a training supervises (see `Estimates`)."""
        tokens = self.encoder(image)
        return self.decoder.estimate(tokens, image.shape[-2] // PATCH, image.shape[-1] // PATCH, every_mask=every_mask)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvNextVariant:
    """A row of the ConvNeXt family: ConvNeXt encoder, hourglass decoder, depth without normals."""

    name: str
    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    fused: tuple[int, int, int]
    published_file: str
    depth_range_m: tuple[float, float] = (0.3, 150.0)
    """Of the first estimate; what is added to it at full size may lead beyond."""
    size_multiple: int = 32
    training_size_hw: tuple[int, int] = (544, 1216)
    has_normals: bool = False

    @property
    def unread_parameters(self) -> frozenset[str]:
        """As for `VitVariant`: how many batches a norm has seen in training."""
        return frozenset(name for name in _state_names(self) if name.endswith(".num_batches_tracked"))

    def build(self) -> nn.Module:
        return ConvNextDepthModel(
            ConvNext(depths=self.depths, widths=self.widths),
            HourglassDecoder(widths=self.widths, fused=self.fused, depth_range_m=self.depth_range_m),
        )


class ConvNextDepthModel(nn.Module):
    def __init__(self, encoder: ConvNext, decoder: HourglassDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, image: Tensor) -> Prediction:
        return self.decoder(self.encoder(image))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiteVariant:
    """A row of our own: EfficientNet-Lite0 encoder, small U-shaped decoder, depth and normals."""

    name: str
    widths: tuple[int, int, int, int]
    published_file: None = None
    depth_range_m: tuple[float, float] = (0.25, 1000.0)
    size_multiple: int = 32
    training_size_hw: tuple[int, int] = (252, 336)
    has_normals: bool = True
    unread_parameters: frozenset[str] = frozenset()

    def build(self) -> nn.Module:
        return LiteDepthModel(LiteEncoder(), LiteDecoder(widths=self.widths, depth_range_m=self.depth_range_m))


class LiteDepthModel(nn.Module):
    def __init__(self, encoder: LiteEncoder, decoder: LiteDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, image: Tensor) -> Prediction:
        return self.decoder(self.encoder(image))


Variant = VitVariant | ConvNextVariant | LiteVariant


@functools.cache
def _state_names(variant: Variant) -> tuple[str, ...]:
    with torch.device("meta"):
        return tuple(DepthNetwork(variant).state_dict())


class DepthNetwork(nn.Module):
    """A network with its parameters under their published names, which all start with `depth_model.`."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.depth_model = variant.build()
        for name, value in (("mean_rgb", MEAN_RGB), ("std_rgb", STD_RGB)):
            # Pinned to the CPU, so that a network built on the meta device still has its values.
            self.register_buffer(name, torch.tensor(value, device="cpu")[:, None, None], persistent=False)

    def normalise(self, rgb: Tensor) -> Tensor:
        """Map RGB 0..255 (N, 3, H, W) float32 to what `forward` takes; the mean colour becomes 0."""
        return (rgb - self.mean_rgb) / self.std_rgb

    def forward(self, image: Tensor) -> Prediction:
        """Predict from a normalised image (N, 3, H, W), float32, sides multiples of `variant.size_multiple`.

        Depth is that of the canonical camera, whose focal length is 1000 px.
        """
        return self.depth_model(image)


VARIANTS: dict[str, Variant] = {
    row.name: row
    for row in (
        VitVariant(
            name="vit_small",
            width=384,
            blocks=12,
            f0=96,
            f1=192,
            hidden=48,
            iterations=4,
            published_file="metric_depth_vit_small_800k.pth",
        ),
        VitVariant(
            name="vit_large",
            width=1024,
            blocks=24,
            f0=256,
            f1=512,
            hidden=128,
            iterations=8,
            published_file="metric_depth_vit_large_800k.pth",
        ),
        VitVariant(
            name="vit_giant2",
            width=1536,
            blocks=40,
            swiglu_hidden=4096,
            tap_blocks=(10, 20, 30, 40),
            f0=384,
            f1=768,
            hidden=192,
            iterations=8,
            published_file="metric_depth_vit_giant2_800k.pth",
        ),
        ConvNextVariant(
            name="convnext_tiny",
            depths=(3, 3, 9, 3),
            widths=(96, 192, 384, 768),
            fused=(64, 128, 256),
            published_file="convtiny_hourglass_v1.pth",
        ),
        ConvNextVariant(
            name="convnext_large",
            depths=(3, 3, 27, 3),
            widths=(192, 384, 768, 1536),
            fused=(128, 256, 512),
            published_file="convlarge_hourglass_0.3_150_step750k_v1.1.pth",
        ),
        VitVariant(
            name="vit_demo",
            width=128,
            blocks=8,
            f0=32,
            f1=64,
            hidden=32,
            iterations=3,
            published_file=None,
        ),
        LiteVariant(name="lite_demo", widths=(256, 192, 128, 80)),
    )
}


def find_variant(name: str) -> Variant:
    """Return the row called `name`; raises ConfigurationError that lists the known ones."""
    try:
        return VARIANTS[name]
    except KeyError:
        raise ConfigurationError(f"unknown variant {name!r}: choose one of {', '.join(VARIANTS)}") from None


def build_network(variant: str) -> DepthNetwork:
    """Return the named network with random initial weights, ready to train (see `checkpoints` to load some)."""
    return DepthNetwork(find_variant(variant))
