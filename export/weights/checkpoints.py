"""Loads published weights into a network: reads files without running their code, and checks names and shapes."""

import dataclasses
import hashlib
import pickle
import pickletools
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from metric3d_export.network.variants import VARIANTS, DepthNetwork, build_network
from metric3d_ros.assembly.tensor_files import STATE_DICT_KEY, require_checkpoint
from metric3d_ros.errors import CheckpointError
from metric3d_ros.files.boundary import one_line_about, reason_of
from metric3d_ros.files.excerpts import excerpt, some
from metric3d_ros.hub.downloads import hash_file
from metric3d_ros.model_contract import STAND_IN_WEIGHTS

# PyTorch's words for it, of any case.
_PICKLES_OF_A_FILE = 5
"""Before the tensors' bytes, in the form that PyTorch wrote until 1.6."""
_MOST_NAME_LETTERS = 256
_SIGNS_OF_CODE = ("unsupported global", "unsupported class", "unrecognized function")


@dataclasses.dataclass(frozen=True)
class Weights:
    """Tensors by their published names, and their origin."""

    tensors: Mapping[str, Tensor]
    file: str
    """Base name of the file, or `STAND_IN_WEIGHTS`."""
    sha256: str
    """Of the file; of names and values if there is none."""
    origin: str = ""
    """Repository and commit that the file was downloaded from, if it was."""


def read_checkpoint(path: Path) -> Weights:
    """Read a .pth, with the weights at its top or (as published) under `model_state_dict`, or a .safetensors file.

    A leading `module.` of the names is dropped. No code of the file is run. Raises CheckpointError when the file is
    missing, empty, truncated, no checkpoint, or holds anything but tensors and plain values.
    """
    require_checkpoint(path)
    with one_line_about(path, CheckpointError, what="checkpoint", remedy="download it again"):
        stored = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
        return _to_weights(path, stored)


def _to_weights(path: Path, stored: Mapping[str, object]) -> Weights:
    state = stored.get(STATE_DICT_KEY, stored)
    named = state.items() if isinstance(state, Mapping) else ()
    tensors = {str(name).removeprefix("module."): value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(
            f"checkpoint {path} holds no weights (its keys: {some(map(excerpt, stored))}), expected named tensors, "
            f"at the top or under {STATE_DICT_KEY}"
        )
    return Weights(tensors, path.name, hash_file(path))


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"checkpoint {path} is not readable as safetensors ({reason_of(error)}): download it again"
        ) from error


def _read_pickle(path: Path) -> Mapping[str, object]:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_scalar_types()):
            warnings.simplefilter("ignore")  # of other protocols than PyTorch's: the error is enough
            _refuse_long_names(path)
            # Memory-mapped if the format allows: a network larger than half of the memory can then be exported.
            stored = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except pickle.UnpicklingError as error:
        if any(sign in str(error).lower() for sign in _SIGNS_OF_CODE):
            raise CheckpointError(
                f"checkpoint {path} holds Python objects besides tensors, and reading those could run code: "
                "get the published file, or have its owner save it as safetensors"
            ) from error
        raise CheckpointError(f"checkpoint {path} is damaged or no PyTorch file: download it again") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"checkpoint {path} is truncated or damaged: download it again") from error
    if not isinstance(stored, Mapping):
        raise CheckpointError(f"checkpoint {path} holds a {type(stored).__name__}, expected a dict of weights")
    return stored


def _refuse_long_names(path: Path) -> None:
    """Raise UnpicklingError for a class name that none has: PyTorch searches its own message about it for minutes."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    with archive.open(name) as file:
                        _check_names(file)
        return
    with path.open("rb") as file:
        for _ in range(_PICKLES_OF_A_FILE):
            _check_names(file)


def _check_names(file: IO[bytes]) -> None:
    try:
        for operation, argument, _ in pickletools.genops(file):
            if operation.name in ("GLOBAL", "INST") and len(str(argument)) > _MOST_NAME_LETTERS:
                raise pickle.UnpicklingError(f"a class has a name of {len(str(argument))} letters")
    except ValueError:
        pass  # a damaged one, about which PyTorch's own error is as good


def _numpy_scalar_types() -> list[object]:
    """Return what rebuilds a NumPy number, and nothing more: trainings leave losses and rates beside the weights."""
    rebuild_scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in (bool, np.int32, np.int64, np.float32, np.float64)]
    aliases = [(rebuild_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*aliases, np.dtype, *dtypes]


def stand_in_weights(variant: str) -> Weights:
    """Return pseudo-random weights that depend on the parameters' names alone; depth computed with them is meaningless.

    They are those of the golden files, so that a network can be checked without any checkpoint.
    """
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in build_network(variant).state_dict().items()}
    tensors = {name: torch.from_numpy(np.asarray(_stand_in(name, shape), np.float32)) for name, shape in shapes.items()}
    return Weights(tensors, STAND_IN_WEIGHTS, hash_tensors(tensors))


def _stand_in(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return one parameter: normal noise from a generator keyed by the name, on a scale that its role asks for."""
    generator = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))
    noise = np.asarray(generator.standard_normal(shape, dtype=np.float32))
    role = name.rpartition(".")[2]
    if role == "weight" and noise.ndim >= 2:
        gain = 4.0 if "depth_regressor" in name else 0.2 if "flow_head.conv2" in name else 1.0
        return noise * np.float32(gain / np.sqrt(np.prod(shape[1:])))
    if role == "weight":
        return 1 + 0.05 * noise
    if role == "running_var":
        return 1 + np.abs(noise)
    if role == "gamma":
        return 0.2 + 0.02 * noise
    return 0.02 * noise


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names and values, in the names' order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_network(variant: str, weights: Weights) -> tuple[DepthNetwork, list[str]]:
    """Return the variant's network with these weights, in eval mode, and the names of the weights that it does not use.

    The tensors are taken over, not copied, if they are float32. Raises CheckpointError that names a missing,
    misshapen, sparse, complex or non-finite parameter, and the variant that the weights would fit.
    """
    with torch.device("meta"):
        network = build_network(variant)
    expected = network.state_dict()
    mismatch = _find_mismatch(network, weights.tensors)
    if mismatch is not None:
        raise CheckpointError(f"{weights.file} does not fit {variant}: {mismatch}; {_name_fitting(weights.tensors)}")
    state = {}
    for name, parameter in expected.items():
        tensor = weights.tensors.get(name)
        if tensor is None:  # nothing reads it
            tensor = torch.zeros(parameter.shape, device="cpu")
        elif tensor.layout is not torch.strided or tensor.is_complex():
            raise CheckpointError(
                f"{weights.file} holds {name} as {tensor.layout} {tensor.dtype}, expected dense real numbers"
            )
        state[name] = tensor.to(parameter.dtype)  # first: float64 may hold what float32 cannot
        if not torch.isfinite(state[name]).all():
            raise CheckpointError(f"{weights.file} holds NaN or infinity in {name}: the file is damaged, get it again")
    network.load_state_dict(state, assign=True)
    return network.eval(), sorted(set(weights.tensors) - set(expected))


def _find_mismatch(network: DepthNetwork, tensors: Mapping[str, Tensor]) -> str | None:
    """Return what is wrong with the first parameter that does not fit, or None."""
    unread = network.variant.unread_parameters
    for name, parameter in network.state_dict().items():
        if name not in tensors:
            if name not in unread:
                return f"{name} {tuple(parameter.shape)} is missing"
        elif tensors[name].shape != parameter.shape:
            return f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}"
    return None


def _name_fitting(tensors: Mapping[str, Tensor]) -> str:
    for variant in VARIANTS:
        with torch.device("meta"):
            network = build_network(variant)
        if _find_mismatch(network, tensors) is None:
            return f"it fits {variant}"
    return f"it fits none of {', '.join(VARIANTS)}"
