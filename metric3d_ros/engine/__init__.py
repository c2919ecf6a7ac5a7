"""Depth models in ONNX Runtime: which execution provider runs them, how it is tuned, and what is done when it fails."""

from metric3d_ros.engine.engine import Engine
from metric3d_ros.engine.providers import AUTO, CONV_SEARCHES, OPENVINO_PRECISIONS, PROVIDERS, Tuning
from metric3d_ros.engine.sessions import DEMO_MODEL, DEMO_MODEL_PATH, open_engine

__all__ = [
    "AUTO",
    "CONV_SEARCHES",
    "DEMO_MODEL",
    "DEMO_MODEL_PATH",
    "OPENVINO_PRECISIONS",
    "PROVIDERS",
    "Engine",
    "Tuning",
    "open_engine",
]
