"""TensorRT: builds an engine in the background, for the image sizes that occur, while CUDA runs the model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from metric3d_ros import __version__
from metric3d_ros.engine.backend import Array, Backend, SessionBackend
from metric3d_ros.engine.gpu.build_cache import build_or_load
from metric3d_ros.engine.gpu.cuda import make_runner, open_cuda
from metric3d_ros.engine.gpu.driver import CudaDriver
from metric3d_ros.engine.providers import PROVIDERS, TENSORRT, Options, Tuning
from metric3d_ros.engine.sessions import Runtime, first_line
from metric3d_ros.errors import InferenceError, Metric3DError
from metric3d_ros.hub.downloads import cache_folder, hash_file

Shape = tuple[int, ...]

FRAMES_BEFORE_BUILD = 3
"""Frames of equal size after which an engine is built for it: one odd frame is not worth minutes."""

_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Profile:
    """The input shapes that an engine takes, by name, and those that it is tuned for."""

    least: Mapping[str, Shape]
    usual: Mapping[str, Shape]
    most: Mapping[str, Shape]

    @classmethod
    def of(cls, shapes: Mapping[str, Shape]) -> Profile:
        """Return the profile that takes these shapes and no others, which gives the fastest engine."""
        return cls(shapes, shapes, shapes)

    def covers(self, shapes: Mapping[str, Shape]) -> bool:
        """Whether the engine takes these shapes."""
        return all(
            all(low <= side <= high for low, side, high in zip(self.least[k], shapes[k], self.most[k], strict=True))
            for k in shapes
        )

    def grown(self, shapes: Mapping[str, Shape]) -> Profile:
        """Return the profile that takes these shapes too, and is tuned for them."""
        least = {k: tuple(map(min, self.least[k], shapes[k])) for k in shapes}
        most = {k: tuple(map(max, self.most[k], shapes[k])) for k in shapes}
        return Profile(least, shapes, most)

    def options(self) -> Options:
        """Return it as ONNX Runtime's options for TensorRT."""
        parts = {"min": self.least, "opt": self.usual, "max": self.most}
        return {
            f"trt_profile_{part}_shapes": ",".join(f"{name}:{'x'.join(map(str, s))}" for name, s in shapes.items())
            for part, shapes in parts.items()
        }


def open_tensorrt(runtime: Runtime, path: Path, tuning: Tuning, *, small_model: Path) -> Backend:
    """Return the model on CUDA, with TensorRT to take over once its engine is built.

    Opening `small_model` takes seconds and shows whether TensorRT works at all; ProviderError if it does not.
    """
    runtime.open_session(small_model, TENSORRT, tuning)
    errors = (*runtime.errors, Metric3DError, OSError)

    def open_backend(more: Options) -> Backend:
        session = runtime.open_session(path, TENSORRT, tuning, more=more)
        return SessionBackend(TENSORRT, session, make_runner(runtime, session, graphs=False))

    def build(profile: Profile) -> Backend:
        return build_cached(
            open_backend,
            profile,
            root=cache_folder() / "tensorrt",
            key=_engine_key(runtime, path, tuning),
            run_once=_run_once,
            errors=errors,
        )

    return TensorRtBackend(open_cuda(runtime, path, tuning), build, errors=errors)


class TensorRtBackend:
    """Runs on CUDA until TensorRT's engine is ready, and later for inputs that the engine does not take.

    An engine is built for the first size that occurs several times in a row, and again, for a range of sizes, when
    another one does. A failed build is an error of the next run, because the user asked for TensorRT.
    """

    def __init__(self, cuda: Backend, build: Callable[[Profile], Backend], *, errors: tuple[type[Exception], ...]):
        """`build` takes minutes and may be called from another thread; `errors` is what it raises."""
        self._cuda = cuda
        self._build = build
        self._errors = errors
        self._built: tuple[Profile, Backend] | None = None
        self._failure = ""
        self._thread: threading.Thread | None = None
        self._last: dict[str, Shape] | None = None
        self._equal = 0
        self._on_tensorrt = False

    @property
    def session(self) -> Any:
        return self._cuda.session

    @property
    def provider(self) -> str:
        return TENSORRT if self._on_tensorrt else self._cuda.provider

    @property
    def remark(self) -> str:
        return "TensorRT's engine is being built, CUDA serves meanwhile" if self._is_building else ""

    @property
    def _is_building(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a build in progress; return whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self._is_building

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        if self._failure:
            raise InferenceError(
                f"TensorRT cannot run this model: {self._failure}; set provider to cuda, or see docs/tensorrt.md"
            )
        shapes = {name: array.shape for name, array in feeds.items()}
        built = self._built
        self._on_tensorrt = built is not None and built[0].covers(shapes)
        if built is not None and self._on_tensorrt:
            return built[1].run(names, feeds)
        self._equal = self._equal + 1 if shapes == self._last else 1
        self._last = shapes
        if self._equal >= FRAMES_BEFORE_BUILD and not self._is_building:
            profile = built[0].grown(shapes) if built is not None else Profile.of(shapes)
            # A daemon, because nothing can interrupt a build.
            self._thread = threading.Thread(target=self._prepare, args=(profile,), name="tensorrt_build", daemon=True)
            self._thread.start()
        return self._cuda.run(names, feeds)

    def _prepare(self, profile: Profile) -> None:
        _LOG.info("building a TensorRT engine, which may take minutes: %s", profile.options()["trt_profile_max_shapes"])
        try:
            self._built = (profile, self._build(profile))
        except self._errors as error:
            self._failure = first_line(error)
            _LOG.error("TensorRT's engine could not be built: %s", self._failure)
            return
        _LOG.info("TensorRT's engine is ready and takes over from CUDA")


def engine_options(profile: Profile, folder: Path | None, timing: Path | None) -> Options:
    """Return TensorRT's options to build for `profile`, or to load what `folder` holds.

    `timing` keeps how long each kernel took on this GPU, which makes the next build faster.
    """
    options = profile.options()
    if folder is not None:
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
    if timing is not None:
        options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(timing)}
    return options


def build_cached(
    open_backend: Callable[[Options], Backend],
    profile: Profile,
    *,
    root: Path,
    key: Mapping[str, str],
    run_once: Callable[[Backend, Mapping[str, Shape]], object],
    errors: tuple[type[Exception], ...],
) -> Backend:
    """Return a backend with TensorRT's engine for `profile`, from the cache at `root` if it has one.

    Args:
        open_backend: opens a session with more options.
        key: what the engine depends on beside the profile.
        run_once: runs a backend with inputs of such shapes, which makes ONNX Runtime build or load the engine.
        errors: what the two raise.
    """
    timing = _timing_folder(root)

    def make(folder: Path | None) -> Backend:
        backend = open_backend(engine_options(profile, folder, timing))
        run_once(backend, profile.usual)
        return backend

    return build_or_load(root, {**key, **profile.options()}, make, errors=errors)


def _run_once(backend: Backend, shapes: Mapping[str, Shape]) -> object:
    dtypes = {tensor.name: _DTYPES[tensor.type] for tensor in backend.session.get_inputs()}
    feeds = {name: np.ones(shape, dtypes[name]) for name, shape in shapes.items()}
    return backend.run([tensor.name for tensor in backend.session.get_outputs()], feeds)


def _engine_key(runtime: Runtime, path: Path, tuning: Tuning) -> Mapping[str, str]:
    """Return all that an engine depends on beside its profile."""
    driver = CudaDriver.load()
    data = path.with_name(path.name + ".data")
    return {
        "model": hash_file(path),
        "model data": hash_file(data) if data.exists() else "",
        "onnxruntime": runtime.version,
        "tensorrt": _tensorrt_version(),
        "options": str(PROVIDERS[TENSORRT].options(tuning)),
        "gpu": (driver.describe_gpu() if driver is not None else None) or "unknown",
        "metric3d_ros": __version__,
    }


def _tensorrt_version() -> str:
    """Return the version of the installed TensorRT package; "unknown" if Python does not find it."""
    for package in ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _timing_folder(root: Path) -> Path | None:
    folder = root / "timing"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder
