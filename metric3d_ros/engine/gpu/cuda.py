"""CUDA: a session with page-locked memory for images and results, and the whole model as one CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metric3d_ros.engine.backend import Array, Backend, PlainRunner, Runner, SessionBackend
from metric3d_ros.engine.gpu.driver import CudaDriver
from metric3d_ros.engine.gpu.host_buffers import HostBuffers
from metric3d_ros.engine.providers import BY_RUNTIME, CUDA, PAGE_LOCKED, Tuning
from metric3d_ros.engine.sessions import Runtime, first_line
from metric3d_ros.errors import ModelError

FRAMES_BEFORE_CAPTURE = 5
"""Equal frames after which a CUDA graph is captured: capturing takes about as long as two runs."""

_GRAPH_OPTION = "gpu_graph_id"
_NO_GRAPH = "-1"

_LOG = logging.getLogger(__name__)

OutputShape = Callable[[str, Mapping[str, Array]], tuple[int, ...]]
"""(name of an output, inputs by name) -> the output's shape."""


def open_cuda(runtime: Runtime, path: Path, tuning: Tuning) -> Backend:
    """Return the model on the CUDA provider; ProviderError or ModelError as `Runtime.open_session`."""
    if tuning.cuda_staging == BY_RUNTIME:
        session = runtime.open_session(path, CUDA, tuning)
        return SessionBackend(CUDA, session, PlainRunner(session))
    session, graphs = _open_session(runtime, path, tuning)
    if graphs and read_output_shapes(session) is None:
        # A session that was opened for capturing cannot be run in any other way.
        session, graphs = _open_session(runtime, path, replace(tuning, cuda_graphs=False))
    page_locked = tuning.cuda_staging == PAGE_LOCKED
    return SessionBackend(CUDA, session, make_runner(runtime, session, graphs=graphs, page_locked=page_locked))


def make_runner(runtime: Runtime, session: Any, *, graphs: bool, page_locked: bool = True) -> Runner:
    """Return what runs a session on the GPU: a `CudaRunner` if the outputs' shapes are known before a run."""
    output_shape = read_output_shapes(session)
    if output_shape is None:
        return PlainRunner(session)
    driver = CudaDriver.load()
    return CudaRunner(
        runtime,
        session,
        HostBuffers(driver if page_locked else None),
        output_shape=output_shape,
        copy_to_host=driver.copy_to_host if driver is not None else None,
        graphs=graphs,
    )


def read_output_shapes(session: Any) -> OutputShape | None:
    """Return how each output's shape follows from the inputs', by the names that the file gives to dimensions.

    None if it does not follow, if an output is not float32, or if the model takes images of one size only: those have
    not been measured with a `CudaRunner`.
    """
    places = {
        side: (tensor.name, axis)
        for tensor in session.get_inputs()
        for axis, side in enumerate(tensor.shape)
        if isinstance(side, str)
    }
    shapes = {tensor.name: tuple(tensor.shape) for tensor in session.get_outputs()}
    followed = all(isinstance(side, int) or side in places for shape in shapes.values() for side in shape)
    if not places or not followed or any(tensor.type != "tensor(float)" for tensor in session.get_outputs()):
        return None

    def output_shape(name: str, feeds: Mapping[str, Array]) -> tuple[int, ...]:
        sides = (side if isinstance(side, int) else places[side] for side in shapes[name])
        return tuple(side if isinstance(side, int) else feeds[side[0]].shape[side[1]] for side in sides)

    return output_shape


def _open_session(runtime: Runtime, path: Path, tuning: Tuning) -> tuple[Any, bool]:
    """Return a session and whether it can capture graphs."""
    try:
        return runtime.open_session(path, CUDA, tuning), tuning.cuda_graphs
    except ModelError as error:
        if not (tuning.cuda_graphs and "graph capture" in str(error.__cause__)):
            raise
    _LOG.info("CUDA graphs are left out: a part of %s runs on the CPU", path.name)
    return _open_session(runtime, path, replace(tuning, cuda_graphs=False))


@dataclass(frozen=True)
class _Signature:
    """What must stay the same for a captured graph to hold."""

    inputs: tuple[tuple[str, tuple[int, ...], str], ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Graph:
    """A captured graph with the device memory that it reads and writes, which must not move."""

    signature: _Signature
    graph_id: int
    binding: Any
    options: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


class CudaRunner:
    """Runs a session on a GPU with images from, and results into, page-locked memory that is lent to the caller.

    After `FRAMES_BEFORE_CAPTURE` runs with the same input shapes and outputs the model is captured as a CUDA graph and
    from then on replayed, until a run asks for anything else. A capture that fails is reported once and not tried
    again.
    """

    def __init__(
        self,
        runtime: Runtime,
        session: Any,
        buffers: HostBuffers,
        *,
        output_shape: OutputShape,
        copy_to_host: Callable[[int, int, int], bool] | None,
        graphs: bool,
    ) -> None:
        """Prepare for `run`.

        Args:
            output_shape: the shape of one output, float32, for given inputs.
            copy_to_host: (device address, host address, bytes) copies and returns whether that worked; None leaves it
                to ONNX Runtime, which takes new memory for each copy.
            graphs: whether to capture; the session must have been opened with `enable_cuda_graph`.
        """
        self._runtime = runtime
        self._session = session
        self._buffers = buffers
        self._output_shape = output_shape
        self._copy_to_host = copy_to_host
        self._graphs = graphs
        self._graph: _Graph | None = None
        self._next_graph_id = 1
        self._last: _Signature | None = None
        self._equal = 0

    @property
    def has_graph(self) -> bool:
        """Whether the last run's sizes are captured."""
        return self._graph is not None

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        signature = _Signature(tuple((k, v.shape, v.dtype.str) for k, v in feeds.items()), tuple(names))
        if signature != self._last:
            self._last, self._equal = signature, 0
            self._drop_graph()
        self._equal += 1
        if self._graphs and self._equal > FRAMES_BEFORE_CAPTURE:
            try:
                if self._graph is None:
                    self._graph = self._prepare_graph(signature, feeds)
                return self._replay(self._graph, feeds)
            except self._runtime.errors as error:
                self._graph, self._graphs = None, False
                _LOG.warning("CUDA graphs do not work with this model and are left out: %s", first_line(error))
        return self._run_bound(signature, feeds)

    def _run_bound(self, signature: _Signature, feeds: Mapping[str, Array]) -> list[Array]:
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, self._stage(array))
        results = [self._lend(name, feeds) for name in signature.names]
        for name, array in zip(signature.names, results, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self._session.run_with_iobinding(binding, self._options(_NO_GRAPH))
        binding.synchronize_outputs()
        return results

    def _prepare_graph(self, signature: _Signature, feeds: Mapping[str, Array]) -> _Graph:
        value = self._runtime.module.OrtValue
        binding = self._session.io_binding()
        inputs = {name: value.ortvalue_from_numpy(np.ascontiguousarray(v), "cuda", 0) for name, v in feeds.items()}
        outputs = {
            name: value.ortvalue_from_shape_and_type(list(self._output_shape(name, feeds)), np.float32, "cuda", 0)
            for name in signature.names
        }
        for name, bound in inputs.items():
            binding.bind_ortvalue_input(name, bound)
        for name, bound in outputs.items():
            binding.bind_ortvalue_output(name, bound)
        graph_id, self._next_graph_id = self._next_graph_id, self._next_graph_id + 1
        return _Graph(signature, graph_id, binding, self._options(str(graph_id)), inputs, outputs)

    def _replay(self, graph: _Graph, feeds: Mapping[str, Array]) -> list[Array]:
        """Run the graph; ONNX Runtime captures it when it meets the id for the first time."""
        for name, array in feeds.items():
            graph.inputs[name].update_inplace(self._stage(array))
        self._session.run_with_iobinding(graph.binding, graph.options)
        return [self._read(graph.outputs[name], self._lend(name, feeds)) for name in graph.signature.names]

    def _read(self, value: Any, result: Array) -> Array:
        """Return `result` with what a value on the device holds."""
        copy = self._copy_to_host
        if copy is None or not copy(value.data_ptr(), result.ctypes.data, result.nbytes):
            np.copyto(result, value.numpy())
        return result

    def _drop_graph(self) -> None:
        graph, self._graph = self._graph, None
        # Older releases keep a graph for as long as the session lives; a camera's sizes are few.
        if graph is not None and hasattr(self._session, "release_captured_graph"):
            self._session.release_captured_graph(graph.graph_id)

    def _stage(self, array: Array) -> Array:
        staged = self._buffers.lend(array.shape, array.dtype)
        np.copyto(staged, array)
        return staged

    def _lend(self, name: str, feeds: Mapping[str, Array]) -> Array:
        return self._buffers.lend(self._output_shape(name, feeds))

    def _options(self, graph_id: str) -> Any:
        options = self._runtime.module.RunOptions()
        options.add_run_config_entry(_GRAPH_OPTION, graph_id)
        return options
