"""Engine: one depth model in one ONNX Runtime session, on the execution provider that was asked for.

The only module that imports onnxruntime. It speaks the model contract to its callers, whatever dialect the file is in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.errors import InferenceError, ModelError, ProviderError
from metric3d_ros.model_contract import Dialect, Metadata

DEMO_MODEL = "demo"
DEMO_MODEL_PATH = Path(__file__).parent / "models" / "demo.onnx"

_INSTALL_ONNXRUNTIME = (
    "install it with `pip install onnxruntime` (CPU) or `pip install 'onnxruntime-gpu[cuda,cudnn]'` (NVIDIA GPU), "
    "never both"
)

# Over it ONNX Runtime 1.23 and 1.26 refuse float16 models on the CPU, 1.29 does not.
_BROKEN_FUSION = "SimplifiedLayerNormFusion"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Provider:
    """An execution provider: ONNX Runtime's name for it and what to do where it is missing."""

    ort_name: str
    remedy: str


PROVIDERS: Mapping[str, Provider] = {
    "cuda": Provider(
        "CUDAExecutionProvider",
        "it needs an NVIDIA GPU with its driver and `pip uninstall -y onnxruntime && "
        "pip install 'onnxruntime-gpu[cuda,cudnn]'`",
    ),
    "cpu": Provider("CPUExecutionProvider", _INSTALL_ONNXRUNTIME),
}
"""Providers by the name that users give, the most preferred one first."""

AUTO = "auto"


class Engine:
    """A loaded depth model. Made by `open_engine`; `infer` may be called from one thread at a time.

    Attributes:
        model_name: the file's base name, or "demo".
        provider: the provider that runs it, a key of `PROVIDERS`.
        dialect: the tensor names and conventions of the file.
        metadata: what our exporter wrote into the file; None for a foreign model.
        fixed_size_hw: (height, width) of a model exported for one size; None where any size goes.
        properties: every key and value that the file says of itself.
    """

    def __init__(
        self, session: Any, *, model_name: str, provider: str, run_errors: tuple[type[Exception], ...]
    ) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self._session = session
        self._run_errors = run_errors
        self.model_name = model_name
        self.provider = provider
        present = [tensor.name for tensor in outputs]
        self.dialect: Dialect = model_contract.recognise_dialect([tensor.name for tensor in inputs], present)
        named = {
            model_contract.DEPTH: self.dialect.depth,
            model_contract.CONFIDENCE: self.dialect.confidence,
            model_contract.NORMAL: self.dialect.normal,
            model_contract.NORMAL_CONFIDENCE: self.dialect.normal_confidence,
        }
        self._tensors = {name: tensor for name, tensor in named.items() if tensor in present}
        image = next(tensor for tensor in inputs if tensor.name == self.dialect.image)
        self._image_dtype = np.float16 if image.type == "tensor(float16)" else None
        self.properties: Mapping[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self.metadata: Metadata | None = None
        self.fixed_size_hw: tuple[int, int] | None = None
        if self.dialect is model_contract.NATIVE:
            self.metadata = Metadata.from_properties(self.properties)
        else:
            height, width = inputs[0].shape[2:]
            if isinstance(height, int) and isinstance(width, int):
                self.fixed_size_hw = (height, width)

    @property
    def outputs(self) -> frozenset[str]:
        """The contract's names of the outputs that this model has (`model_contract.DEPTH` and so on)."""
        return frozenset(self._tensors)

    def infer(
        self,
        image: npt.NDArray[Any],
        focal_px: npt.NDArray[np.float32] | None,
        *,
        outputs: Collection[str],
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Run the model once.

        Args:
            image: in the file's own dialect: uint8 (N, H, W, 3) RGB for ours, float32 (N, 3, H, W) 0..255 otherwise
                (converted where the file takes float16).
            focal_px: float32 (N,), pixels; None for a foreign model, which takes none.
            outputs: names of the contract, a part of `self.outputs`.

        Returns:
            float32 arrays by the contract's names, in the file's own layout.

        Raises:
            InferenceError: the provider failed, for instance for want of memory.
        """
        names = [name for name in self._tensors if name in outputs]
        feeds: dict[str, npt.NDArray[Any]] = {
            self.dialect.image: image.astype(self._image_dtype or image.dtype, copy=False)
        }
        if self.dialect.focal_length is not None:
            feeds[self.dialect.focal_length] = np.asarray(focal_px, np.float32)
        try:
            results = self._session.run([self._tensors[name] for name in names], feeds)
        except self._run_errors as error:
            reason = str(error).strip().splitlines()[-1]
            raise InferenceError(
                f"{self.model_name} failed on a {'x'.join(map(str, image.shape))} input with provider "
                f"{self.provider}: {reason}; if memory ran out, set a smaller inference_size"
            ) from error
        return {name: np.asarray(result, np.float32) for name, result in zip(names, results, strict=True)}


def open_engine(model: str | Path = DEMO_MODEL, *, provider: str = AUTO, threads: int = 0) -> Engine:
    """Load a model file.

    Args:
        model: path of an ONNX file, or "demo" for the model that comes with the package.
        provider: "auto" (the best one that works here) or a key of `PROVIDERS`, which then must work.
        threads: CPU threads for one operator; 0 lets ONNX Runtime take every core.

    Raises:
        ModelError: no such file, not an ONNX file, or not a depth model.
        ProviderError: ONNX Runtime is not installed, or the provider asked for does not work here.
    """
    if provider != AUTO and provider not in PROVIDERS:
        raise ProviderError(f"provider '{provider}' is not known, expected one of {', '.join([AUTO, *PROVIDERS])}")
    path = _find_model(model)
    ort = _import_onnxruntime()
    errors = _session_errors(ort)
    present = ort.get_available_providers()
    wanted = list(PROVIDERS) if provider == AUTO else [provider]
    usable = [name for name in wanted if PROVIDERS[name].ort_name in present]
    if not usable:
        raise ProviderError(
            f"provider '{provider}' is not in this ONNX Runtime {ort.__version__} (it has {', '.join(present)}): "
            f"{PROVIDERS[wanted[0]].remedy}"
        )
    if "cuda" in usable and hasattr(ort, "preload_dlls"):
        # Finds the CUDA libraries that pip installed, which no loader path names.
        ort.preload_dlls()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    for name in usable:
        session = _open_session(ort.InferenceSession, path, options, name, errors)
        if PROVIDERS[name].ort_name in session.get_providers():
            try:
                return Engine(
                    session,
                    model_name=DEMO_MODEL if str(model) == DEMO_MODEL else path.name,
                    provider=name,
                    run_errors=errors,
                )
            except ModelError as error:
                raise ModelError(f"{path}: {error}") from error
        # ONNX Runtime falls back to the CPU by itself when a provider's libraries or device are missing.
        if provider != AUTO:
            break
        _LOG.info("provider %s is installed but does not work here; trying the next one", name)
    raise ProviderError(f"provider '{usable[0]}' is installed but does not work here: {PROVIDERS[usable[0]].remedy}")


def _find_model(model: str | Path) -> Path:
    if str(model) == DEMO_MODEL:
        if not DEMO_MODEL_PATH.exists():
            raise ModelError(
                f"the demo model is missing from the installed package ({DEMO_MODEL_PATH}): install metric3d_ros again"
            )
        return DEMO_MODEL_PATH
    path = Path(model).expanduser()
    if not path.exists():
        raise ModelError(
            f"model file {path} does not exist: make one with `metric3d export vit_small -o {path.name}`, "
            f"or use the model '{DEMO_MODEL}'"
        )
    if not path.is_file():
        raise ModelError(f"model {path} is not a file: name the .onnx file itself")
    return path


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(f"ONNX Runtime cannot be imported ({error}): {_INSTALL_ONNXRUNTIME}") from error
    if not hasattr(onnxruntime, "InferenceSession"):
        # What is left when one of the two packages was uninstalled from over the other.
        raise ProviderError(
            "the installed ONNX Runtime is incomplete: `pip uninstall -y onnxruntime onnxruntime-gpu`, then "
            + _INSTALL_ONNXRUNTIME
        )
    return onnxruntime


def _session_errors(ort: Any) -> tuple[type[Exception], ...]:
    """Return the exceptions that a session raises; they share no base class of their own."""
    state = ort.capi.onnxruntime_pybind11_state
    names = (
        "Fail",
        "InvalidArgument",
        "NoSuchFile",
        "NoModel",
        "EngineError",
        "RuntimeException",
        "InvalidProtobuf",
        "NotImplemented",
        "InvalidGraph",
        "EPFail",
    )
    return tuple(getattr(state, name) for name in names if hasattr(state, name))


def _open_session(
    make_session: Callable[..., Any],
    path: Path,
    options: Any,
    provider: str,
    errors: Sequence[type[Exception]],
) -> Any:
    providers = [PROVIDERS[provider].ort_name]
    if provider != "cpu":
        providers.append(PROVIDERS["cpu"].ort_name)
    try:
        try:
            return make_session(str(path), options, providers=providers)
        except tuple(errors) as error:
            if _BROKEN_FUSION not in str(error):
                raise
            return make_session(str(path), options, providers=providers, disabled_optimizers=[_BROKEN_FUSION])
    except tuple(errors) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{path} cannot be loaded as an ONNX model ({reason}): check that it is complete, with its .data file "
            "beside it if it has one, or make it again with `metric3d export`"
        ) from error
