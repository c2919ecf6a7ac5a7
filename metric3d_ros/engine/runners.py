"""How a session is run: plainly, or on a GPU with results into lent memory and the whole model as one CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metric3d_ros.engine.backend import Array
from metric3d_ros.engine.gpu.host_buffers import HostBuffers
from metric3d_ros.engine.runtime import Runtime, first_line

FRAMES_BEFORE_CAPTURE = 5
"""Equal frames after which a CUDA graph is captured: capturing takes about as long as two runs."""

_GRAPH_OPTION = "gpu_graph_id"
_NO_GRAPH = "-1"

_LOG = logging.getLogger(__name__)


class PlainRunner:
    """Lets ONNX Runtime take memory for the results."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        return list(self._session.run(list(names), dict(feeds)))


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
        output_shape: Callable[[str, Mapping[str, Array]], tuple[int, ...]],
        copy_to_host: Callable[[int, int, int], bool] | None,
        graphs: bool,
    ) -> None:
        """Prepare for `run`.

        Args:
            output_shape: the shape of one output, float32, for given inputs.
            copy_to_host: copies from a device address to a host address so many bytes, and says whether that worked;
                None leaves it to ONNX Runtime, which takes new memory for each copy.
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
