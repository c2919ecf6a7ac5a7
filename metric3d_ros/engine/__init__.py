"""ONNX Runtime: opens model files on an execution provider, with its options, and falls back if one fails."""

from metric3d_ros.engine.engine import Engine, open_engine
from metric3d_ros.engine.model_file import DEMO_MODEL, DEMO_MODEL_PATH
from metric3d_ros.engine.providers import AUTO, CONV_SEARCHES, OPENVINO_PRECISIONS, PROVIDERS, Tuning

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
