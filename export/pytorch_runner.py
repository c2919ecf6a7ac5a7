"""The network in PyTorch for benchmarks: a process that answers each line that it reads with one line of JSON.

`python -m metric3d_export.pytorch_runner VARIANT IMAGE.npy --focal PX`, with stand-in weights. Lines: `outputs`
(what it gives), `run` (once, from pixels in memory to outputs in memory), `save FILE.npz` (once more, and keep the
outputs), `memory`, `work` (multiplications and additions of an image). It ends with its input.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from metric3d_export.devices import require_device
from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.network.variants import build_network
from metric3d_export.weights.checkpoints import load_network, stand_in_weights
from metric3d_ros.camera.camera import MOST_FOCAL_PX
from metric3d_ros.command_line import require_numbers
from metric3d_ros.engine.process_memory import peak_memory_bytes
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.estimation.estimator import CONFIDENCE, DEPTH, NORMALS
from metric3d_ros.program import program

EAGER, FP16, COMPILED = "fp32", "fp16", "fp16-compiled"
PRECISIONS = {
    EAGER: "as it is",
    FP16: "autocast to float16",
    COMPILED: "autocast to float16, by torch.compile for one size",
}
_NAMES = {"depth": DEPTH, "confidence": CONFIDENCE, "normal": NORMALS}


class TorchModel:
    """A variant with the model contract around it, on one image."""

    def __init__(
        self, variant: str, image: np.ndarray, *, focal_px: float, device: str = "cpu", precision: str = EAGER
    ) -> None:
        network, _ = load_network(variant, stand_in_weights(variant))
        contract = ContractModel(network).eval().to(device)
        self._variant = variant
        self._names = contract.output_names
        self._forward: Callable[..., Any] = torch.compile(contract) if precision == COMPILED else contract
        self._autocast = torch.autocast(device, torch.float16, enabled=precision != EAGER)
        self._device = device
        self._image = image[None]
        self._focal_px = np.array([focal_px], np.float32)

    @property
    def outputs(self) -> list[str]:
        """The names of what it gives, as `metric3d_ros.estimation.estimator` calls them."""
        return [_NAMES[name] for name in self._names if name in _NAMES]

    def run(self) -> dict[str, np.ndarray]:
        """Return depth (H, W), confidence (H, W) and normals (H, W, 3), float32, in this machine's own memory."""
        with torch.inference_mode(), self._autocast:
            image = torch.from_numpy(self._image).to(self._device)
            focal_px = torch.from_numpy(self._focal_px).to(self._device)
            results = self._forward(image, focal_px)
            # Copying to the host waits for the device.
            arrays = [result[0].float().cpu().numpy() for result in results]
        named = {_NAMES[name]: array for name, array in zip(self._names, arrays, strict=True) if name in _NAMES}
        # As the runtime gives it: an expected accuracy.
        named["confidence"] = named["confidence"].clip(0, 1)
        return named

    def count_gflop(self) -> float:
        """Return 1e9 multiplications and additions of one image; see the function."""
        return count_gflop(self._variant, (self._image.shape[1], self._image.shape[2]))


def count_gflop(variant: str, size_hw: tuple[int, int]) -> float:
    """Return 1e9 multiplications and additions of an image, those of matrix products and convolutions alone."""
    # Shapes without values: no time at all.
    contract = ContractModel(build_network(variant)).eval().to("meta")
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        contract(torch.zeros((1, *size_hw, 3), dtype=torch.uint8), torch.ones(1))
    return float(counter.get_total_flops()) / 1e9


def answer(line: str, model: TorchModel) -> dict[str, Any]:
    """Execute one line; return the answer."""
    word, _, rest = line.strip().partition(" ")
    if word == "outputs":
        return {"outputs": model.outputs}
    if word == "run":
        cpu_s, started_s = time.process_time(), time.perf_counter()
        model.run()
        total_ms = (time.perf_counter() - started_s) * 1e3
        return {"total_ms": total_ms, "cpu_ms": (time.process_time() - cpu_s) * 1e3}
    if word == "save":
        np.savez(rest, **model.run())
        return {"saved": rest}
    if word == "memory":
        return {"peak_memory_mib": peak_memory_bytes() / 2**20}
    if word == "work":
        return {"gflop": model.count_gflop()}
    raise ValueError(f"{line!r} is not understood, expected outputs, run, save FILE, memory or work")


@program("")
def main(argv: list[str] | None = None) -> int:
    """Load the network, then answer until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.pytorch_runner", description=__doc__)
    parser.add_argument("variant")
    parser.add_argument("image", type=Path, help="uint8 (H, W, 3), as .npy")
    parser.add_argument("--focal", type=float, required=True, metavar="PX")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default=EAGER)
    args = parser.parse_args(argv)
    require_device(args.device)
    require_numbers(args, "focal", above=0, most=MOST_FOCAL_PX, unit="pixels")
    require_numbers(args, "threads", least=0, most=MOST_THREADS)
    if args.threads:
        torch.set_num_threads(args.threads)
    model = TorchModel(
        args.variant, np.load(args.image), focal_px=args.focal, device=args.device, precision=args.precision
    )
    for line in sys.stdin:
        print(json.dumps(answer(line, model)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
