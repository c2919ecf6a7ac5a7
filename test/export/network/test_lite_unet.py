"""The demo model's network: the encoder's maps, and convex upsampling."""

import torch

from metric3d_export.network.lite_unet import LiteEncoder, upsample_convexly


def test_encoder_gives_maps_at_five_sizes() -> None:
    maps = LiteEncoder()(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]


def test_upsampling_repeats_what_stands_at_the_border() -> None:
    state = torch.full((1, 6, 3, 4), 2.5)
    mask = torch.randn(1, 144, 3, 4)
    torch.testing.assert_close(upsample_convexly(state, mask), torch.full((1, 6, 12, 16), 2.5))


def test_upsampling_puts_each_fine_value_where_its_mask_points() -> None:
    state = torch.arange(12.0).view(1, 1, 3, 4)
    mask = torch.full((1, 9, 16, 3, 4), -50.0)
    mask[:, 4] = 50.0  # the cell itself
    mask[:, 4, 5], mask[:, 5, 5] = -50.0, 50.0  # but fine pixel (1, 1) takes the cell to the right
    fine = upsample_convexly(state, mask.flatten(1, 2))
    assert fine[0, 0, 4, 4] == 5.0
    assert fine[0, 0, 5, 5] == 6.0
