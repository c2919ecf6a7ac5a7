"""Compares the GPU's outputs with the CPU's, over sizes and batches, and tests what happens if memory runs out."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.bench.candidates import HOST_PROVIDERS, Maps
from metric3d_ros.bench.comparison import make_task
from metric3d_ros.bench.gpu.record import Figure, Row
from metric3d_ros.bench.gpu.timing import Emit, difference_figures
from metric3d_ros.comparison.differences import Measure, compare, equality_limits
from metric3d_ros.engine.gpu.cuda import FRAMES_BEFORE_CAPTURE
from metric3d_ros.engine.gpu.driver import CudaDriver
from metric3d_ros.errors import InferenceError, OutOfMemoryError
from metric3d_ros.estimation.depth_model import DepthModel, open_model
from metric3d_ros.estimation.estimator import Estimator

_TOLERANCE = 1e-3
_BATCH = 4
_MOST_TRIES = 6
_LEFT_MIB = 64
_LEFT_HOST_MIB = 256
"""More than on a GPU: the outputs of the image are on the host as well."""
_LARGEST_BLOCK, _SMALLEST_BLOCK = 1 << 30, 1 << 20

Images = Sequence[npt.NDArray[np.uint8]]


def compare_with_cpu(section: str, arguments: Mapping[str, Any], emit: Emit) -> None:
    """Do a job of `jobs.COMPARE`: every output of one model against the CPU's, emit a row for each kind of frame."""
    first_hw, second_hw = ((height, width) for height, width in arguments["sizes_hw"])
    path, threads = arguments["model"], arguments["threads"]
    model = open_model(path, provider=arguments["provider"], threads=threads)
    on_cpu = open_model(path, provider="cpu", threads=threads)
    name = model.name
    first, second = (make_task(size_hw, threads=threads) for size_hw in (first_hw, second_hw))
    focal_px = first.camera.focal_px
    expected = {
        "first": run_model(on_cpu, [first.rgb], focal_px),
        "second": run_model(on_cpu, [second.rgb], focal_px),
    }

    def check(label: str, found: Maps, wanted: Maps) -> None:
        figures: dict[str, Figure] = {"provider": model.provider, **difference_figures(_differences(found, wanted))}
        emit(Row(section=section, label=f"{name}, {label}", figures=figures))

    size, other = _words(first_hw), _words(second_hw)
    check(f"{size}, first frame", run_model(model, [first.rgb], focal_px), expected["first"])
    for _ in range(FRAMES_BEFORE_CAPTURE + 1):
        found = run_model(model, [first.rgb], focal_px)
    check(f"{size}, frame {FRAMES_BEFORE_CAPTURE + 2}, from a CUDA graph if there is one", found, expected["first"])
    mirrored = np.ascontiguousarray(first.rgb[:, ::-1])
    check(
        f"{size}, another image",
        run_model(model, [mirrored], focal_px),
        run_model(on_cpu, [mirrored], focal_px),
    )
    for label, image, wanted in (
        (f"then {other}", second.rgb, expected["second"]),
        (f"then {size}", first.rgb, expected["first"]),
        (f"then {other} again", second.rgb, expected["second"]),
    ):
        check(label, run_model(model, [image], focal_px), wanted)
    images = [first.rgb, mirrored, np.ascontiguousarray(first.rgb[::-1]), 255 - first.rgb][:_BATCH]
    one_by_one = [run_model(on_cpu, [image], focal_px) for image in images]
    check(
        f"{size}, a batch of {len(images)}",
        run_model(model, images, focal_px),
        {key: np.concatenate([each[key] for each in one_by_one]) for key in one_by_one[0]},
    )


def run_model(model: DepthModel, images: Images, focal_px: float) -> Maps:
    """Return all outputs of a model for images of one size, by the contract's names, the batch first."""
    focals = [focal_px] * len(images)
    results = model.run(model.dialect.prepare(images, focals), outputs=model.outputs)
    return model.finish(results, focals, (images[0].shape[0], images[0].shape[1]))


def exhaust_memory(section: str, arguments: Mapping[str, Any], emit: Emit) -> None:
    """Do a job of `jobs.MEMORY`: occupy the memory; emit what happens to an image, to the next ones, and afterwards."""
    height, width = arguments["size_hw"]
    provider = arguments["provider"]
    task = make_task((height, width), threads=arguments["threads"])
    small = make_task((max(28, height // 8), max(28, width // 8)), threads=arguments["threads"])
    estimator = Estimator(open_model(arguments["model"], provider=provider, threads=arguments["threads"]))
    estimator.estimate(small.rgb, small.camera)
    pressure = _limit_process() if provider in HOST_PROVIDERS else _fill_gpu()
    with pressure as left_mib:
        label = f"{width}x{height} with {left_mib} MiB left"
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                estimate = estimator.estimate(task.rgb, task.camera)
            except OutOfMemoryError as error:
                row = Row(section=section, label=f"{label}, image {attempt}", figures={"came to": f"refused: {error}"})
            except Exception as error:  # the finding: it should have been the one above
                reason = f"not recognised as too little memory: {type(error).__name__}: {' '.join(str(error).split())}"
                row = Row(section=section, label=f"{label}, image {attempt}", reason=reason)
            else:
                at = _words(estimate.inference_size_hw)
                emit(Row(section=section, label=f"{label}, image {attempt}", figures={"came to": f"inference at {at}"}))
                break
            emit(row)
    estimator.size.ask("trained")
    estimator.size.ask("native")
    estimate = estimator.estimate(task.rgb, task.camera)
    figures: dict[str, Figure] = {"came to": f"inference at {_words(estimate.inference_size_hw)}"}
    emit(Row(section=section, label="with the memory given back", figures=figures))


@contextlib.contextmanager
def _fill_gpu() -> Iterator[int]:
    """Occupy almost all of the GPU's memory; yield the MiB that are left."""
    driver = CudaDriver.load()
    if driver is None:
        raise InferenceError("there is no NVIDIA driver whose memory could be taken")
    taken: list[int] = []
    size_bytes = _LARGEST_BLOCK
    try:
        while size_bytes >= _SMALLEST_BLOCK and (free := _free_bytes(driver)) > _LEFT_MIB << 20:
            address = driver.take_memory(size_bytes) if size_bytes <= free - (_LEFT_MIB << 20) else None
            if address is None:
                size_bytes //= 2
            else:
                taken.append(address)
        yield _free_bytes(driver) >> 20
    finally:
        for address in taken:
            driver.return_memory(address)


def _free_bytes(driver: CudaDriver) -> int:
    memory = driver.read_memory_bytes()
    return 0 if memory is None else memory[0]


@contextlib.contextmanager
def _limit_process() -> Iterator[int]:
    """Limit this process to little more memory than it has; yield the MiB that are left."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (_LEFT_HOST_MIB << 20), before[1]))
    try:
        yield _LEFT_HOST_MIB
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _differences(found: Maps, expected: Maps) -> list[Any]:
    measures = {model_contract.NORMAL: Measure.ANGLE}
    return [
        compare(
            name,
            found.get(name),
            array,
            equality_limits(_TOLERANCE, measures.get(name, Measure.ABSOLUTE_BELOW_ONE)),
            holes=True,
        )
        for name, array in expected.items()
    ]


def _words(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[0]}x{size_hw[1]}"
