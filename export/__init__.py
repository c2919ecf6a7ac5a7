"""From published Metric3D weights to a verified ONNX file; the only part of the project that imports torch."""

import metric3d_ros.interruption  # noqa: F401, before all that takes time
