"""The demo variant's decoder in a cheaper form for a graph, equal to the network's own but for rounding."""

from torch import Tensor, nn

from metric3d_export.graph.fast_decoder import upsample_state
from metric3d_export.graph.fast_softmax import bin_sums, expected_depth
from metric3d_export.network.lite_unet import LiteDecoder
from metric3d_export.network.prediction import Prediction


class FastLiteDecoder(LiteDecoder):
    """`LiteDecoder` whose softmaxes run over the layout that their logits come in."""

    def __init__(self, own: LiteDecoder) -> None:
        nn.Module.__init__(self)
        self.depth_range_m = own.depth_range_m
        for name, part in own.named_children():
            setattr(self, name, part)
        self.register_buffer("sums", bin_sums(own.log_bins), persistent=False)

    def forward(self, maps: list[Tensor]) -> Prediction:
        _, state, mask = self.estimate(maps)
        return self.read_state(upsample_state(state, mask, border="replicate"))

    def expect(self, logits: Tensor) -> Tensor:
        return expected_depth(logits, self.sums)
