"""Engine: one loaded depth model, which speaks the model contract to its callers whatever dialect the file is in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.engine.backend import Array, Backend
from metric3d_ros.engine.runtime import is_out_of_memory
from metric3d_ros.errors import InferenceError, OutOfMemoryError
from metric3d_ros.model_contract import Dialect, Metadata

_LOG = logging.getLogger(__name__)

OpenNext = Callable[[], Backend | None]


class Engine:
    """A loaded depth model. Made by `open_engine`; `infer` may be called from one thread at a time.

    Attributes:
        model_name: the file's base name, or "demo".
        dialect: the tensor names and conventions of the file.
        metadata: what our exporter wrote into the file; None for a foreign model.
        fixed_size_hw: (height, width) of a model exported for one size; None where any size goes.
        properties: every key and value that the file says of itself.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        model_name: str,
        run_errors: tuple[type[Exception], ...],
        open_next: OpenNext | None = None,
    ) -> None:
        """Describe the model that `backend` runs; ModelError where it is no depth model.

        Args:
            run_errors: what `backend` raises when it fails.
            open_next: opens the model on the next best provider, None after the last; None where the user has named the
                provider, which then must do.
        """
        inputs, outputs = backend.session.get_inputs(), backend.session.get_outputs()
        self._backend = backend
        self._spare: Backend | None = None
        self._open_next = open_next
        self._run_errors = run_errors
        self.model_name = model_name
        present = [tensor.name for tensor in outputs]
        self.dialect: Dialect = model_contract.recognise_dialect([tensor.name for tensor in inputs], present)
        named = {
            model_contract.DEPTH: self.dialect.depth,
            model_contract.CONFIDENCE: self.dialect.confidence,
            model_contract.NORMAL: self.dialect.normal,
            model_contract.NORMAL_CONFIDENCE: self.dialect.normal_confidence,
        }
        self._tensors = {name: tensor for name, tensor in named.items() if tensor is not None and tensor in present}
        image = next(tensor for tensor in inputs if tensor.name == self.dialect.image)
        self._image_dtype = np.float16 if image.type == "tensor(float16)" else None
        self.properties: Mapping[str, str] = dict(backend.session.get_modelmeta().custom_metadata_map)
        self.metadata: Metadata | None = None
        self.fixed_size_hw: tuple[int, int] | None = None
        if self.dialect is model_contract.NATIVE:
            self.metadata = Metadata.from_properties(self.properties)
        else:
            height, width = inputs[0].shape[2:]
            if isinstance(height, int) and isinstance(width, int):
                self.fixed_size_hw = (height, width)

    @property
    def provider(self) -> str:
        """The provider that runs the model at present, a key of `PROVIDERS`."""
        return self._backend.provider

    @property
    def remark(self) -> str:
        """What a person should know about the provider at present; "" where there is nothing to say."""
        return self._backend.remark

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
            float32 arrays by the contract's names, in the file's own layout. They are the caller's own: a later run
            does not change them.

        Raises:
            OutOfMemoryError: an input of this size needs more memory than there is.
            InferenceError: the provider failed in another way, and so did those that may take its place.
        """
        names = [name for name in self._tensors if name in outputs]
        feeds: dict[str, Array] = {self.dialect.image: image.astype(self._image_dtype or image.dtype, copy=False)}
        if self.dialect.focal_length is not None:
            feeds[self.dialect.focal_length] = np.asarray(focal_px, np.float32)
        tensors = [self._tensors[name] for name in names]
        try:
            results = self._backend.run(tensors, feeds)
        except self._run_errors as error:
            results = self._recover(error, tensors, feeds, image.shape)
        return {name: np.asarray(result, np.float32) for name, result in zip(names, results, strict=True)}

    def _recover(
        self, error: Exception, tensors: Sequence[str], feeds: Mapping[str, Array], shape: tuple[int, ...]
    ) -> list[Array]:
        """Run on the next provider where that is allowed and can help; otherwise raise what went wrong."""
        what = f"{self.model_name} failed on a {'x'.join(map(str, shape))} input with provider {self.provider}"
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"{what}: out of memory; set a smaller inference_size") from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        # An input that does not fit the model fits it nowhere.
        if self._open_next is None or "InvalidArgument" in type(error).__name__:
            raise InferenceError(
                f"{what}: {reason}; if it goes on, set another provider, or auto, which may fall back"
                if self.provider != "cpu"
                else f"{what}: {reason}; if memory ran out, set a smaller inference_size"
            ) from error
        self._spare = self._spare or self._open_next()
        if self._spare is None:
            raise InferenceError(f"{what}: {reason}; if memory ran out, set a smaller inference_size") from error
        try:
            results = self._spare.run(tensors, feeds)
        except self._run_errors:
            raise InferenceError(
                f"{what}, and with provider {self._spare.provider} as well: {reason}; if memory ran out, set a smaller "
                "inference_size"
            ) from error
        _LOG.warning("%s: %s; provider auto goes on with %s", what, reason, self._spare.provider)
        self._backend, self._spare = self._spare, None
        return results
