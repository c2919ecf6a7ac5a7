"""The parameters of depth_node that tune how ONNX Runtime runs the model, in a group for each provider."""

import re
from dataclasses import dataclass

from metric3d_ros.engine import CONV_SEARCHES, OPENVINO_PRECISIONS
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameters.schema import parameter

_MOST_CPUS = 4096


def parse_cpus(text: str) -> tuple[int, ...]:
    """Return the CPU cores of a list such as "0-3,6"; none for "". ConfigurationError for any other text."""
    cores: set[int] = set()
    for part in text.split(",") if text.strip() else []:
        found = re.fullmatch(r"\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last >= _MOST_CPUS:
            raise ConfigurationError(
                f"parameter cpus is {text!r}, expected CPU cores such as '0-3' or '2,3', or '' for all"
            )
        cores.update(range(first, last + 1))
    return tuple(sorted(cores))


@dataclass(frozen=True, kw_only=True)
class OpenVinoParameters:
    """With provider openvino."""

    precision: str = parameter(
        OPENVINO_PRECISIONS[0],
        "What OpenVINO computes with; bf16 takes little more than half the time on CPUs that have it, and moves depth "
        "by about 2 %.",
        choices=OPENVINO_PRECISIONS,
        read_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class CudaParameters:
    """With provider cuda."""

    graphs: bool = parameter(
        True,
        "Replay the whole model as one CUDA graph once five images of one size have come; takes more GPU memory.",
        read_only=True,
    )
    prefer_nhwc: bool = parameter(False, "Compute convolutions with channels last.", read_only=True)
    conv_search: str = parameter(
        CONV_SEARCHES[0],
        "How cuDNN finds the algorithm of a convolution: exhaustive tries all, for each new size of image; heuristic "
        "guesses; default takes one for all.",
        choices=CONV_SEARCHES,
        read_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class TensorRtParameters:
    """With provider tensorrt."""

    fp16: bool = parameter(
        False, "Let TensorRT compute a float32 model in float16 where that is faster; costs accuracy.", read_only=True
    )
