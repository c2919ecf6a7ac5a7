"""How fast this device multiplies large matrices in PyTorch: `python -m metric3d_export.matrix_speed --device cuda`.

This is the most that a chip reaches in practice, which is less than its data sheet states. Prints one line of JSON.
"""

import argparse
import json
import sys
import time

import torch

from metric3d_export.devices import require_device
from metric3d_ros.command_line import require_numbers
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.program import program

KINDS = {"float16": torch.float16, "tf32": torch.float32}
_SIDE, _SECONDS = 8192, 1.0
_MOST_SIDE = 1_000_000


def measure_tflops(kind: str, *, device: str, side: int = _SIDE, seconds: float = _SECONDS) -> float:
    """Return 1e12 multiplications and additions a second of the fastest product of two square matrices.

    Args:
        kind: a key of `KINDS`; tf32 is float32 on a device without it.
        device: "cpu" or "cuda".
        side: of the matrices.
        seconds: how long to repeat it.
    """
    torch.backends.cuda.matmul.allow_tf32 = True
    a, b = (torch.randn((side, side), device=device).to(KINDS[kind]) for _ in range(2))

    def product_s() -> float:
        started_s = time.perf_counter()
        torch.matmul(a, b)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started_s

    product_s()
    deadline_s = time.monotonic() + seconds
    fastest_s = product_s()
    while time.monotonic() < deadline_s:
        fastest_s = min(fastest_s, product_s())
    return 2 * side**3 / fastest_s / 1e12


@program("error")
@needing_memory("multiplying matrices", remedy="choose a smaller --side")
def main(argv: list[str] | None = None) -> int:
    """Measure each kind of number."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.matrix_speed", description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--side", type=int, default=_SIDE, metavar="N")
    parser.add_argument("--seconds", type=float, default=_SECONDS, metavar="S")
    args = parser.parse_args(argv)
    require_numbers(args, "side", least=1, most=_MOST_SIDE)
    require_numbers(args, "seconds", above=0)
    require_device(args.device)
    with torch.inference_mode():
        measured = {
            kind: measure_tflops(kind, device=args.device, side=args.side, seconds=args.seconds) for kind in KINDS
        }
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
