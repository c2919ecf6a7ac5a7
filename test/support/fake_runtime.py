"""Stands in for ONNX Runtime with a GPU: device memory, bindings, graphs that are captured and replayed, failures."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np


class FakeError(Exception):
    """What the fake session raises, as ONNX Runtime's own exceptions do."""


class OrtValue:
    """A tensor: on the CPU it shares the array's memory, on "cuda" it has its own."""

    def __init__(self, array, device):
        self.array, self.device = array, device

    @classmethod
    def ortvalue_from_numpy(cls, array, device="cpu", device_id=0):
        return cls(array if device == "cpu" else array.copy(), device)

    @classmethod
    def ortvalue_from_shape_and_type(cls, shape, dtype, device="cpu", device_id=0):
        return cls(np.zeros(shape, dtype), device)

    def update_inplace(self, array):
        np.copyto(self.array, array)

    def data_ptr(self):
        return self.array.ctypes.data

    def numpy(self):
        return self.array.copy()


class RunOptions:
    def __init__(self):
        self.entries = {}

    def add_run_config_entry(self, key, value):
        self.entries[key] = value


class Binding:
    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def bind_cpu_input(self, name, array):
        self.inputs[name] = OrtValue(array, "cpu")

    def bind_ortvalue_input(self, name, value):
        self.inputs[name] = value

    def bind_ortvalue_output(self, name, value):
        self.outputs[name] = value

    def bind_output(self, name, device, device_id, dtype, shape, pointer):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_char * size).from_address(pointer)
        self.outputs[name] = OrtValue(np.frombuffer(memory, dtype).reshape(shape), device)

    def synchronize_outputs(self):
        pass


class Session:
    """Computes `compute(inputs) -> outputs`; an id that it meets for the first time is captured with its bindings."""

    def __init__(self, compute):
        self.compute = compute
        self.captured = {}
        self.released = []
        self.runs = []
        """The graph id of each run, "-1" without a graph."""
        self.fail_with = {}
        """Exceptions to raise, by graph id."""

    def io_binding(self):
        return Binding()

    def run_with_iobinding(self, binding, options):
        graph_id = options.entries["gpu_graph_id"]
        self.runs.append(graph_id)
        if graph_id in self.fail_with:
            raise self.fail_with[graph_id]
        if graph_id != "-1":
            values = [*binding.inputs.values(), *binding.outputs.values()]
            assert {value.device for value in values} == {"cuda"}, "a graph needs memory of the device"
            binding = self.captured.setdefault(graph_id, binding)
        results = self.compute({name: value.array for name, value in binding.inputs.items()})
        for name, value in binding.outputs.items():
            np.copyto(value.array, results[name])

    def release_captured_graph(self, graph_id):
        self.released.append(graph_id)
        del self.captured[str(graph_id)]


def copy_to_host(device_address, host_address, size_bytes):
    ctypes.memmove(host_address, device_address, size_bytes)
    return True


def runtime():
    """Return what `metric3d_ros.engine.sessions.Runtime` is to a runner."""
    return SimpleNamespace(
        module=SimpleNamespace(OrtValue=OrtValue, RunOptions=RunOptions), errors=(FakeError,), version="0"
    )
