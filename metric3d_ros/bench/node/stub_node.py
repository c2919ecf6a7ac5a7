"""depth_node with a stand-in for the network that answers after a set time, so that everything else can be timed."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.estimation.depth_model import DepthModel
from metric3d_ros.estimation.own_dialect import OwnDialect
from metric3d_ros.nodes.depth_node import main

LATENCY_VARIABLE = "METRIC3D_STUB_LATENCY_MS"
PROVIDER_VARIABLE = "METRIC3D_STUB_PROVIDER"
"""Where the network seems to run; the stand-in needs no processor, as if it ran on a GPU, in either case."""
DEPTH_M = 2.0


class StubEngine:
    """Has the interface of an Engine; returns a wall from 2 to 3 m for every image."""

    model_name = "stub"
    remark = ""
    properties: Mapping[str, str] = {}

    def __init__(self, latency_s: float, *, provider: str = "cpu") -> None:
        self.provider = provider
        self._latency_s = latency_s
        self._maps: dict[tuple[int, ...], dict[str, npt.NDArray[np.float32]]] = {}

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the same maps for every image of one shape, after the latency."""
        shape = feeds[model_contract.IMAGE].shape[:3]
        if shape not in self._maps:
            depth_m = np.full(shape, DEPTH_M, np.float32)
            # A ramp, so that colour maps and clouds have something to do.
            depth_m += np.linspace(0.0, 1.0, shape[2], dtype=np.float32)
            normal = np.zeros((*shape, 3), np.float32)
            normal[..., 2] = -1.0
            self._maps[shape] = {
                model_contract.DEPTH: depth_m,
                model_contract.CONFIDENCE: np.full(shape, 0.5, np.float32),
                model_contract.NORMAL: normal,
            }
        time.sleep(self._latency_s)
        return {name: self._maps[shape][name] for name in outputs}


def open_stub(*_: Any, **__: Any) -> DepthModel:
    """Stand in for `depth_model.open_model`."""
    latency_s = float(os.environ.get(LATENCY_VARIABLE, "0")) / 1e3
    engine: Any = StubEngine(latency_s, provider=os.environ.get(PROVIDER_VARIABLE, "cpu"))
    outputs = {model_contract.DEPTH, model_contract.CONFIDENCE, model_contract.NORMAL}
    return DepthModel(engine, OwnDialect(outputs, metadata=None))


if __name__ == "__main__":
    sys.exit(main(open_model=open_stub))
