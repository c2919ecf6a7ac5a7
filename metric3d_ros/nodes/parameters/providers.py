"""The parameters `openvino.*`, `cuda.*` and `tensorrt.*`: how an ONNX Runtime execution provider runs the model."""

import re
from dataclasses import dataclass

from metric3d_ros.engine import CONV_SEARCHES, OPENVINO_PRECISIONS
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.schema import parameter

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
    """The parameters `openvino.*`, for provider openvino."""

    precision: str = parameter(
        OPENVINO_PRECISIONS[0],
        "Compute precision. bf16 takes little more than half the time on CPUs that support it, and changes depth by "
        "about 2 %.",
        choices=OPENVINO_PRECISIONS,
        read_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class CudaParameters:
    """The parameters `cuda.*`, for provider cuda."""

    graphs: bool = parameter(
        True,
        "Replay the whole model as one CUDA graph after five images of one size; takes more GPU memory.",
        read_only=True,
    )
    prefer_nhwc: bool = parameter(False, "Compute convolutions in NHWC layout (channels last).", read_only=True)
    conv_search: str = parameter(
        CONV_SEARCHES[0],
        "How cuDNN chooses convolution algorithms: exhaustive times all of them for each new image size, heuristic "
        "estimates, default uses one for all.",
        choices=CONV_SEARCHES,
        read_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class TensorRtParameters:
    """The parameters `tensorrt.*`, for provider tensorrt."""

    fp16: bool = parameter(
        False, "Let TensorRT compute a float32 model in float16 if that is faster; costs accuracy.", read_only=True
    )
