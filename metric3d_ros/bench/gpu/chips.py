"""The peak throughput of matrix products by GPU, from the data sheets, without sparsity."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Peak:
    """1e12 multiplications and additions a second."""

    half: float
    """Of float16, with sums in float32."""
    single: float
    """Of TF32, which ONNX Runtime computes products of float32 in."""


_PEAKS = {
    "H200": Peak(half=989.4, single=494.7),
    "H100 PCIE": Peak(half=756.0, single=378.0),
    "H100 NVL": Peak(half=835.0, single=417.5),
    "H100": Peak(half=989.4, single=494.7),
    "A100": Peak(half=312.0, single=156.0),
}
"""By a part of the name that the driver gives, the most particular first; from NVIDIA's data sheets."""


def find_peak(gpu_name: str) -> Peak | None:
    """Return the peak of a GPU by the name that NVIDIA's driver gives it; None if it is not in the table."""
    return next((peak for part, peak in _PEAKS.items() if part in gpu_name.upper()), None)
