"""The ConvNeXt variants' decoder in a cheaper form for a graph, equal to the published one but for rounding."""

import torch
from torch import Tensor, nn

from metric3d_export.graph.fast_softmax import bin_sums, expected_depth
from metric3d_export.network.hourglass import (
    FEATURES,
    RESIDUAL_SCALE,
    UPSAMPLING,
    HourglassDecoder,
    pixel_indices,
    upsample,
)
from metric3d_export.network.prediction import Prediction


class FastHourglassDecoder(nn.Module):
    """`HourglassDecoder` in the cheaper form."""

    role = HourglassDecoder.role

    def __init__(self, published: HourglassDecoder) -> None:
        super().__init__()
        self.decoder_mono = published.decoder_mono
        self.conv_out_2 = published.conv_out_2
        self.depth_regressor_2 = published.depth_regressor_2
        self.conv_up_2 = published.conv_up_2
        self.register_buffer("bin_sums", bin_sums(published.bins_m), persistent=False)

    def forward(self, maps: list[Tensor]) -> Prediction:
        x = self.conv_out_2(self.decoder_mono(maps))
        features, confidence = x[:, :FEATURES], x[:, FEATURES:]
        depth = expected_depth(self.depth_regressor_2(features), self.bin_sums)
        residual = self.conv_up_2(torch.cat([depth, *pixel_indices(depth), features], dim=1))
        depth = upsample(depth, UPSAMPLING) + RESIDUAL_SCALE * residual
        return Prediction(depth[:, 0], upsample(confidence, UPSAMPLING)[:, 0], None, None)
