"""The DINOv2 vision transformer with register tokens: a normalised image becomes four sets of tokens."""

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from metric3d_export.network.roles import Role

PATCH = 14
HEAD_SIZE = 64
REGISTERS = 4
LEADING_TOKENS = 1 + REGISTERS  # cls, then the registers; the patches follow row by row
STORED_GRID = 37  # the position embedding is stored for 37 x 37 patches
PLAIN_KERNEL_TOKENS = 1024
GRID_OFFSET = 0.1  # published: the sampling step is 37 / (g + 0.1) along each axis


def attention_kernel(q: Tensor) -> contextlib.AbstractContextManager[None]:
    """Return the context that multiplies queries and keys out, if that is cheap: float32 on a CPU, few tokens.

    That is what the published model did, so its outputs come back to 1e-4 m. The fused kernel that PyTorch takes by
    itself rounds otherwise, by up to 3e-4 m in single pixels, and is what keeps memory linear in larger images.
    """
    if q.device.type == "cpu" and q.dtype == torch.float32 and q.shape[2] <= PLAIN_KERNEL_TOKENS:
        return sdpa_kernel(SDPBackend.MATH)
    return contextlib.nullcontext()


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, -1, HEAD_SIZE))  # (N, tokens, 3, heads, 64)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        # Scaling q by 1/8 is exact, and rounds as published whichever way the attention is computed.
        with attention_kernel(q):
            x = F.scaled_dot_product_attention(q * HEAD_SIZE**-0.5, k, v, scale=1.0)  # (N, heads, tokens, 64)
        return self.proj(x.transpose(1, 2).flatten(2))


class GeluFeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwigluFeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w12 = nn.Linear(width, 2 * hidden)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class LayerScale(nn.Module):
    role = Role.RESIDUAL_SUM

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    role = Role.RESIDUAL_SUM

    def __init__(self, width: int, swiglu_hidden: int | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = GeluFeedForward(width) if swiglu_hidden is None else SwigluFeedForward(width, swiglu_hidden)
        self.ls2 = LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    role = Role.SENSITIVE

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image)


class VisionTransformer(nn.Module):
    """Encoder of the ViT variants.

    `tap_blocks` counts the blocks after which tokens are handed on, without the final norm; None hands on the
    last block's tokens after the final norm, four times.
    """

    role = Role.ENCODER

    def __init__(
        self, *, width: int, blocks: int, swiglu_hidden: int | None = None, tap_blocks: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        self.tap_blocks = tap_blocks
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + STORED_GRID**2, width))
        self.register_tokens = nn.Parameter(torch.zeros(1, REGISTERS, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width), requires_grad=False)  # published, and never read
        self.patch_embed = PatchEmbedding(width)
        self.blocks = nn.ModuleList([nn.ModuleList([Block(width, swiglu_hidden) for _ in range(blocks)])])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for token in (self.cls_token, self.pos_embed, self.register_tokens):
            nn.init.trunc_normal_(token, std=0.02)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map a normalised image (N, 3, H, W) to f0..f3, each (N, 5 + H/14 * W/14, width)."""
        patches = self.patch_embed(image)  # (N, width, gh, gw)
        gh, gw = patches.shape[-2:]
        patches = (patches + self.patch_positions(gh, gw)).flatten(2).transpose(1, 2)
        leading = torch.cat([self.cls_token + self.pos_embed[:, :1], self.register_tokens], dim=1)
        x = torch.cat([leading.expand(patches.shape[0], -1, -1), patches], dim=1)
        handed_on = []
        for count, block in enumerate(self.blocks[0], start=1):
            x = block(x)
            if self.tap_blocks is not None and count in self.tap_blocks:
                handed_on.append(x)
        return handed_on if self.tap_blocks is not None else [self.norm(x)] * 4

    def patch_positions(self, gh: int, gw: int) -> Tensor:
        """Return the position embedding of a grid: (1, width, gh, gw)."""
        stored = self.pos_embed[:, 1:].unflatten(1, (STORED_GRID, STORED_GRID)).permute(0, 3, 1, 2)
        if (gh, gw) == (STORED_GRID, STORED_GRID):
            return stored
        scales = ((gh + GRID_OFFSET) / STORED_GRID, (gw + GRID_OFFSET) / STORED_GRID)
        return F.interpolate(stored, scale_factor=scales, mode="bicubic")
