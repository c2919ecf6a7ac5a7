"""The model contract as a PyTorch module around a network: the camera's pixels in, metres out."""

import torch.nn.functional as F
from torch import Tensor, nn

from metric3d_export.network.roles import Role
from metric3d_export.network.variants import DepthNetwork
from metric3d_ros import model_contract
from metric3d_ros.estimation.metres import metres_per_canonical_metre


class ContractModel(nn.Module):
    """A network with the model contract around it (see `metric3d_ros.model_contract` for the tensors)."""

    role = Role.CONTRACT

    def __init__(self, network: DepthNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, focal_length: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 (N, H, W, 3) and float32 (N,) to the outputs of `output_names`, in that order."""
        # First of all float32: TensorRT takes bytes as an input, and nothing of them but their cast.
        pixels = image.float()
        x = self.network.normalise(pixels.permute(0, 3, 1, 2))
        height, width = pixels.shape[1], pixels.shape[2]
        multiple = self.network.variant.size_multiple
        spare_rows = (height + multiple - 1) // multiple * multiple - height
        spare_columns = (width + multiple - 1) // multiple * multiple - width
        top, left = spare_rows // 2, spare_columns // 2
        # The mean colour is 0 once normalised.
        x = F.pad(x, (left, spare_columns - left, top, spare_rows - top))
        rows, columns = slice(top, top + height), slice(left, left + width)
        depth, confidence, normal, normal_confidence = self.network(x)
        metres_per_canonical = metres_per_canonical_metre(focal_length)[:, None, None]
        outputs = [depth[:, rows, columns] * metres_per_canonical, confidence[:, rows, columns]]
        if normal is not None and normal_confidence is not None:
            outputs += [normal[:, :, rows, columns].permute(0, 2, 3, 1), normal_confidence[:, rows, columns]]
        return tuple(outputs)

    @property
    def output_names(self) -> list[str]:
        """The contract's names of what `forward` returns."""
        names = [model_contract.DEPTH, model_contract.CONFIDENCE]
        if self.network.variant.has_normals:
            names += [model_contract.NORMAL, model_contract.NORMAL_CONFIDENCE]
        return names
