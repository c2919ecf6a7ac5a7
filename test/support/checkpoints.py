"""Checkpoints of the published variants with made-up weights, written without PyTorch."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metric3d_ros.assembly.plan import load_plan
from metric3d_ros.assembly.plan_files import PLAIN


def made_up_weights(variant: str) -> dict[str, np.ndarray]:
    """Return weights with which a network computes finite depth that means nothing."""
    random = np.random.default_rng(7)
    weights = {}
    for name, tensor in load_plan(variant, PLAIN).published.items():
        noise = random.standard_normal(tensor.shape, np.float32)
        last = name.rpartition(".")[2]
        if last == "weight" and noise.ndim >= 2:
            gain = 4.0 if "depth_regressor" in name else 0.2 if "flow_head.conv2" in name else 1.0
            values = noise * np.float32(gain / np.sqrt(np.prod(tensor.shape[1:])))
        elif last in ("weight", "running_var"):
            values = 1 + 0.05 * np.abs(noise)
        else:
            values = 0.02 * noise + (0.2 if last == "gamma" else 0)
        weights[name] = np.asarray(values, np.float32)
    return weights


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """Write float32 tensors as safetensors."""
    header: dict[str, Any] = {}
    end = 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array, "<f4").data)
    return path


class _Global:
    """Pickled as the name of something in a module."""

    def __init__(self, module: str, name: str) -> None:
        self.__module__, self.__qualname__, self.__name__ = module, name, name

    def __call__(self) -> None: ...


class _Storage:
    def __init__(self, key: str, count: int, kind: str) -> None:
        self.mark = ("storage", _Global("torch", kind), key, "cpu", count)


class _Tensor:
    def __init__(self, key: str, array: np.ndarray, kind: str) -> None:
        self.storage, self.array = _Storage(key, array.size, kind), array

    def __reduce__(self) -> Any:
        strides = tuple(stride // self.array.itemsize for stride in self.array.strides)
        rebuild = _Global("torch._utils", "_rebuild_tensor_v2")
        return rebuild, (self.storage, 0, self.array.shape, strides, False, OrderedDict())


class _Pickler(pickle._Pickler):
    """PyTorch's marks of storages, and names without the modules that they are of."""

    def persistent_id(self, found: object) -> Any:
        return found.mark if isinstance(found, _Storage) else None

    def save(self, found: Any, save_persistent_id: bool = True) -> None:
        if isinstance(found, _Global):
            self.write(pickle.GLOBAL + f"{found.__module__}\n{found.__name__}\n".encode())
            return
        super().save(found, save_persistent_id)


def write_pth(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    beside: Mapping[str, object] | None = None,
    kind: str | None = None,
) -> Path:
    """Write tensors as PyTorch does, under model_state_dict, with what is `beside` it; `kind` is of the storages."""
    kinds = {"f4": "FloatStorage", "f2": "HalfStorage", "f8": "DoubleStorage", "i8": "LongStorage"}
    state = OrderedDict(
        (f"module.{name}", _Tensor(str(i), array, kind or kinds[array.dtype.str[1:]]))
        for i, (name, array) in enumerate(tensors.items())
    )
    pickled = io.BytesIO()
    _Pickler(pickled, protocol=2).dump({"model_state_dict": state, **(beside or {})})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for i, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{i}", np.ascontiguousarray(array).tobytes())
    return path
