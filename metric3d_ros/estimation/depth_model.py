"""DepthModel: a model file of any known dialect, behind the model contract."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.assembly.model_names import parse_model_name
from metric3d_ros.assembly.steps import Report, tell_terminal
from metric3d_ros.engine import AUTO, DEMO_MODEL, Engine, Tuning, open_engine
from metric3d_ros.engine.model_file import find_model, one_line_about
from metric3d_ros.errors import InferenceError, ModelError
from metric3d_ros.estimation.dialects import Dialect, recognise_dialect
from metric3d_ros.model_contract import Metadata

Float32Array = npt.NDArray[np.float32]


class DepthModel:
    """A loaded depth model. Made by `open_model`; may be run by one thread at a time.

    Attributes:
        dialect: translates between the model contract and the file.
    """

    def __init__(self, engine: Engine, dialect: Dialect | None = None) -> None:
        """Wrap an engine; ModelError if it is not a depth model. `dialect` is for stand-ins of an engine."""
        self._engine = engine
        self.dialect = dialect or recognise_dialect(engine)

    @property
    def name(self) -> str:
        """The file's base name, or "demo"."""
        return self._engine.model_name

    @property
    def path(self) -> Path:
        """The model file."""
        assert self._engine.path is not None, "opened from a file"
        return self._engine.path

    @property
    def provider(self) -> str:
        """The provider that runs the model at present, a key of `PROVIDERS`."""
        return self._engine.provider

    @property
    def remark(self) -> str:
        """The provider's present state in one sentence, for users; "" if there is nothing to report."""
        return self._engine.remark

    @property
    def outputs(self) -> frozenset[str]:
        """The contract's names of the outputs that this model has (`model_contract.DEPTH` and so on)."""
        return frozenset(self.dialect.outputs)

    @property
    def metadata(self) -> Metadata | None:
        """What our exporter wrote into the file; None for files of others."""
        return self.dialect.metadata

    @property
    def properties(self) -> Mapping[str, str]:
        """The file's metadata, key by key, as it stands there."""
        return self._engine.properties

    @property
    def fixed_size_hw(self) -> tuple[int, int] | None:
        """(height, width) of the only input that the file takes; None if any size goes."""
        return self.dialect.fixed_size_hw

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], *, outputs: Collection[str]) -> dict[str, Float32Array]:
        """Run the file once.

        Args:
            feeds: from `dialect.prepare`.
            outputs: the contract's names, a part of `self.outputs`.

        Returns:
            What `dialect.finish` takes, by the contract's names.

        Raises:
            OutOfMemoryError: an input of this size needs more memory than there is.
            InferenceError: the provider failed in another way, and so did those that may take its place.
        """
        names = {name: tensor for name, tensor in self.dialect.outputs.items() if name in outputs}
        results = self._engine.run(feeds, list(names.values()))
        return {name: results[tensor] for name, tensor in names.items()}

    def finish(
        self, results: Mapping[str, Float32Array], focal_px: Sequence[float], size_hw: tuple[int, int]
    ) -> dict[str, Float32Array]:
        """Return the contract's maps of what `run` returned; see `Dialect.finish`.

        Raises:
            InferenceError: an output has another shape than the contract has: the file is damaged, or another model.
        """
        maps: dict[str, Float32Array] = {}
        for name, result in results.items():
            expected = (len(focal_px), *size_hw, *((3,) if name == model_contract.NORMAL else ()))
            try:
                maps |= self.dialect.finish({name: result}, focal_px, size_hw)
            except (ValueError, IndexError):  # with too few dimensions, or images
                maps.pop(name, None)
            if name not in maps or maps[name].shape != expected:
                raise InferenceError(
                    f"{self.name} returned {name} of shape {result.shape} for {expected[0]} image(s) of "
                    f"{size_hw[1]}x{size_hw[0]}: the file is damaged or no Metric3D model; make it again with "
                    "`metric3d export`"
                )
        return maps

    def infer(
        self, image: npt.NDArray[np.uint8], focal_px: npt.NDArray[np.float32], *, outputs: Collection[str]
    ) -> dict[str, Float32Array]:
        """Run the model once, as the contract has it, whatever the file's dialect.

        Args:
            image: uint8 (N, H, W, 3), RGB.
            focal_px: float32 (N,), pixels of these images.
            outputs: the contract's names, a part of `self.outputs`.

        Returns:
            float32 arrays by the contract's names: depth (N, H, W) in metres along the optical axis, normals
            (N, H, W, 3) in the optical frame, confidences (N, H, W).

        Raises:
            OutOfMemoryError, InferenceError: see `run`.
        """
        focals = [float(focal) for focal in focal_px]
        results = self.run(self.dialect.prepare(list(image), focals), outputs=outputs)
        return self.finish(results, focals, (image.shape[1], image.shape[2]))


def locate_model(model: str | Path) -> str:
    """Return what names a model for a process with another working folder: a name as it is, a file by its full path.

    Nothing is downloaded or opened.

    Raises:
        ModelError: it is neither a name nor a file that exists.
        ConfigurationError: a published model in a precision that cannot be had by name.
    """
    if str(model) == DEMO_MODEL or parse_model_name(model) is not None:
        return str(model)
    return str(find_model(model).resolve())


def open_model(
    model: str | Path = DEMO_MODEL,
    *,
    provider: str = AUTO,
    threads: int = 0,
    tuning: Tuning | None = None,
    report: Report | None = None,
) -> DepthModel:
    """Load a depth model; see `engine.open_engine` for the other arguments and its errors.

    Args:
        model: also the name of a published model, such as "vit_small" or "vit_small:fp16". If the cache does not have
            it, it is downloaded, assembled and checked first (see `assembly.model_store`).
        report: takes the steps of that; None writes them to standard error.

    Raises:
        ModelError: no such file, not an ONNX file, or not a depth model.
        ProviderError: ONNX Runtime is not installed, or the provider asked for does not work here.
        DownloadError, CheckpointError, ExportError: a published model could not be downloaded or assembled.
    """
    name = parse_model_name(model)
    if name is not None:
        # Imported lazily, because it needs the modules of downloads: a few megabytes.
        from metric3d_ros.assembly.model_store import obtain

        model = obtain(name, report or tell_terminal())
    engine = open_engine(model, provider=provider, threads=threads, tuning=tuning)
    path = engine.path or Path(model)
    with one_line_about(path):
        try:
            return DepthModel(engine)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
