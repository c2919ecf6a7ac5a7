"""The error tree: every failure a user can cause or mend is a `Metric3DError` whose message names the remedy."""


class Metric3DError(Exception):
    """Root of this package's errors; its message has what, the value got, the value expected and the remedy."""


class ModelError(Metric3DError):
    """A model file is missing, unreadable, of another kind, or broken."""


class ProviderError(Metric3DError):
    """ONNX Runtime or the execution provider asked for cannot be used on this machine."""


class InferenceError(Metric3DError):
    """The model was loaded but failed on this input (out of memory, a provider's own failure)."""


class OutOfMemoryError(InferenceError):
    """The memory of the CPU or the GPU does not suffice for an input of this size."""


class CameraError(Metric3DError):
    """A camera's intrinsics are missing, impossible, or do not fit the image."""


class ImageError(Metric3DError):
    """An image array or an encoded picture is empty, truncated or of an unsupported kind."""


class MessageError(Metric3DError):
    """A ROS message contradicts itself or uses an encoding that is not supported."""


class ConfigurationError(Metric3DError):
    """A parameter, option or configuration file has a value that cannot be used."""


class CheckpointError(Metric3DError):
    """Network weights are missing, unreadable, or belong to another variant."""


class ExportError(Metric3DError):
    """An export could not be completed or its result did not pass verification."""


class DataError(Metric3DError):
    """Recorded or measured data (a folder, a bag, a calibration) cannot be used."""


class DownloadError(Metric3DError):
    """A published file could not be downloaded, or is not the one that was published."""


class NodeError(Metric3DError):
    """A ROS node has come into a state that it cannot leave."""
