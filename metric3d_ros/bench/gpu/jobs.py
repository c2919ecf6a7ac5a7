"""The measurements of a GPU report, as jobs, the most valuable first; each runs in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIANTS = ("vit_small", "vit_large", "vit_giant2")
DEMO = "demo model"
SIZES_HW = ((616, 1064), (480, 640))
CAMERA_HW = (1080, 1920)

MAKE, SPEED, TIME, COMPARE, MEMORY, PIPELINE, NODE = "make", "speed", "time", "compare", "memory", "pipeline", "node"

PIECES: Mapping[str, dict[str, Any]] = {
    "without CUDA graphs": {"tuning": {"cuda_graphs": False}},
    "pageable staging": {"tuning": {"cuda_staging": "pageable"}},
    "ONNX Runtime's own staging, no graphs": {"tuning": {"cuda_staging": "runtime"}},
    "attention as a function": {"attention": "function"},
    "NHWC": {"tuning": {"cuda_prefer_nhwc": True}},
    "cuDNN search: heuristic": {"tuning": {"cuda_conv_search": "heuristic"}},
    "cuDNN search: default": {"tuning": {"cuda_conv_search": "default"}},
}
"""The ratio of each to the defaults is the gain of what it leaves out: 1.05 is a gain of 5 %."""

_LARGE = ("vit_large", "vit_giant2", "convnext_large")
_GIANT = "vit_giant2"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One process of the report.

    Attributes:
        kind: which function of the worker does it.
        section: the title of the table of its rows.
        label: its name if there is no time for it, or if it fails as a whole.
        least_s: with less time left it is not begun.
        most_s: it is ended after so many seconds.
        arguments: for that function, as JSON has them.
    """

    kind: str
    section: str
    label: str
    least_s: float
    most_s: float
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The contents of a report, as requested.

    Attributes:
        sizes_hw: (height, width) of images; pieces and correctness are measured at the first one.
        camera_hw: of the camera whose pictures go through the whole pipeline.
        pytorch: whether PyTorch is here, and wanted.
        models: whether models of `variants` can be made here; otherwise there is the demo model alone.
        node: whether the node can run here, and is wanted.
        seconds: of the timing of each comparison.
        folder: of the models.
    """

    variants: Sequence[str]
    sizes_hw: Sequence[tuple[int, int]]
    camera_hw: tuple[int, int]
    provider: str
    pytorch: bool
    models: bool
    node: bool
    threads: int
    seconds: float
    folder: Path


def plan_jobs(wish: Wish) -> list[Job]:
    """Return the jobs, the most valuable ones first."""
    first_hw, *other_hw = wish.sizes_hw
    variants = [name for name in wish.variants if name != _GIANT] if wish.models else []
    jobs = [_speed(wish)] if wish.pytorch else []
    for variant in variants:
        jobs += [_make(variant, wish, half_weights=variant == variants[0]), _times(variant, first_hw, wish)]
    jobs += [_half_weights(variant, first_hw, wish) for variant in variants[:1]]
    jobs += [job for variant in variants[:1] for job in _pieces(variant, first_hw, wish)]
    jobs += [_compared(variant, precision, wish) for variant in variants[:1] for precision in ("fp32", "fp16")]
    jobs += [_pipeline(variant, wish) for variant in variants[:1]]
    jobs += [_compiled(variant, first_hw, wish) for variant in variants if wish.pytorch]
    jobs += [_memory(variants[0] if variants else DEMO, wish), _demo(first_hw, wish)]
    jobs += [_compared(variant, "fp16", wish) for variant in variants[1:]]
    jobs += [job for variant in variants[1:] for job in _pieces(variant, first_hw, wish)]
    for size_hw in other_hw:
        jobs += [_times(variant, size_hw, wish) for variant in variants]
        jobs += [_compiled(variant, size_hw, wish) for variant in variants if wish.pytorch]
        jobs.append(_demo(size_hw, wish))
    jobs.append(_pipeline(DEMO, wish))
    if wish.node:
        jobs += [_node(variant, wish) for variant in [*variants[:1], DEMO]]
    if wish.models and _GIANT in wish.variants:
        jobs += [_make(_GIANT, wish), _times(_GIANT, first_hw, wish)]
        jobs += [_compiled(_GIANT, first_hw, wish)] if wish.pytorch else []
    return jobs


def model_path(variant: str, form: str, precision: str, folder: Path) -> str:
    """Return the file of a model, or the name of the demo model."""
    return "demo" if variant == DEMO else str(folder / f"{variant}-{form}-{precision}.onnx")


def work_path(variant: str, folder: Path) -> Path:
    """Return the file with the operations of a variant by image size, in JSON."""
    return folder / f"{variant}-work.json"


def _speed(wish: Wish) -> Job:
    return Job(
        kind=SPEED,
        section="Fastest matrix products, in PyTorch",
        label=wish.provider,
        least_s=10,
        most_s=60,
        arguments={"device": _torch_device(wish)},
    )


def _make(variant: str, wish: Wish, *, half_weights: bool = False) -> Job:
    models = ["plain:fp32", "optimised:fp32", "optimised:fp16"]
    return Job(
        kind=MAKE,
        section="Models with stand-in weights",
        label=variant,
        least_s=90 if variant == _GIANT else 10,
        most_s=300 if variant == _GIANT else 150,
        arguments={
            "variant": variant,
            "models": [*models, "optimised:fp32-half-weights"] if half_weights else models,
            "folder": str(wish.folder),
            "sizes": [f"{height}x{width}" for height, width in wish.sizes_hw],
        },
    )


def _times(variant: str, size_hw: tuple[int, int], wish: Wish) -> Job:
    members = [
        _member(variant, "plain", "fp32", wish, reference=True),
        _member(variant, "optimised", "fp32", wish),
        _member(variant, "optimised", "fp16", wish),
    ]
    if wish.pytorch:
        members.append(_torch_member(variant, "fp16", wish))
    large = variant in _LARGE
    return _time(f"{variant} at {_size(size_hw)}", variant, size_hw, members, wish, least_s=40 if large else 20)


def _compiled(variant: str, size_hw: tuple[int, int], wish: Wish) -> Job:
    members = [_member(variant, "optimised", "fp16", wish), _torch_member(variant, "fp16-compiled", wish)]
    section = f"{variant} at {_size(size_hw)}, against compiled PyTorch"
    return _time(section, variant, size_hw, members, wish, least_s=60 if variant in _LARGE else 40)


def _demo(size_hw: tuple[int, int], wish: Wish) -> Job:
    members = [_member(DEMO, "optimised", "fp32", wish)]
    members.append({**members[0], "name": "without CUDA graphs", "tuning": {"cuda_graphs": False}})
    return _time(f"{DEMO} at {_size(size_hw)}", DEMO, size_hw, members, wish, least_s=10)


def _pieces(variant: str, size_hw: tuple[int, int], wish: Wish) -> list[Job]:
    section = f"Pieces, {variant} in fp16 at {_size(size_hw)}: ratio to the defaults"
    usual = _member(variant, "optimised", "fp16", wish, name="the defaults", reference=True)
    changes = [{"name": name, "reference": False, **piece} for name, piece in PIECES.items()]
    least_s = 25 if variant in _LARGE else 12
    return [
        _time(section, variant, size_hw, [{**usual, "repeated": True}, {**usual, **change}], wish, least_s)
        for change in changes
    ]


def _half_weights(variant: str, size_hw: tuple[int, int], wish: Wish) -> Job:
    members = [
        _member(variant, "optimised", "fp32", wish, name="fp32, weights in fp32", reference=True),
        _member(variant, "optimised", "fp32-half-weights", wish, name="fp32, weights in fp16"),
    ]
    return _time(f"Pieces, {variant}: half weights", variant, size_hw, members, wish, least_s=12)


def _time(
    section: str,
    variant: str,
    size_hw: tuple[int, int],
    members: Sequence[dict[str, Any]],
    wish: Wish,
    least_s: float,
) -> Job:
    return Job(
        kind=TIME,
        section=section,
        label=", ".join(each["name"] for each in members if not each.get("repeated")),
        least_s=least_s,
        most_s=2 * least_s + 10,
        arguments={
            "members": list(members),
            "size_hw": list(size_hw),
            "threads": wish.threads,
            "seconds": wish.seconds,
            "work": str(work_path(variant, wish.folder)),
        },
    )


def _compared(variant: str, precision: str, wish: Wish) -> Job:
    file = model_path(variant, "optimised", precision, wish.folder)
    return Job(
        kind=COMPARE,
        section="Outputs against the CPU's, same file",
        label=f"{variant}, {precision}",
        least_s=20,
        most_s=60,
        arguments={
            "model": file,
            "provider": wish.provider,
            "sizes_hw": [list(size_hw) for size_hw in (wish.sizes_hw[-1], wish.sizes_hw[-1][::-1])],
            "threads": wish.threads,
        },
    )


def _at_camera_size(variant: str, wish: Wish) -> dict[str, Any]:
    """Return the arguments of a job that runs the optimised fp16 model on images of the camera's size."""
    return {
        "model": model_path(variant, "optimised", "fp16", wish.folder),
        "provider": wish.provider,
        "size_hw": list(wish.camera_hw),
        "threads": wish.threads,
    }


def _memory(variant: str, wish: Wish) -> Job:
    return Job(
        kind=MEMORY,
        section="Too little memory",
        label=variant,
        least_s=10,
        most_s=40,
        arguments=_at_camera_size(variant, wish),
    )


def _pipeline(variant: str, wish: Wish) -> Job:
    return Job(
        kind=PIPELINE,
        section=f"From a camera's message at {_size(wish.camera_hw)} to all messages, without DDS",
        label=variant,
        least_s=15,
        most_s=60,
        arguments={
            **_at_camera_size(variant, wish),
            "seconds": wish.seconds,
        },
    )


def _node(variant: str, wish: Wish) -> Job:
    return Job(
        kind=NODE,
        section=f"depth_node at {_size(wish.camera_hw)}, over DDS",
        label=variant,
        least_s=25,
        most_s=60,
        arguments={
            **_at_camera_size(variant, wish),
            "seconds": max(3.0, 2 * wish.seconds),
        },
    )


def _member(
    variant: str, form: str, precision: str, wish: Wish, *, name: str = "", reference: bool = False
) -> dict[str, Any]:
    return {
        "name": name or f"{form} {precision}",
        "model": model_path(variant, form, precision, wish.folder),
        "precision": precision,
        "provider": wish.provider,
        "reference": reference,
    }


def _torch_member(variant: str, precision: str, wish: Wish) -> dict[str, Any]:
    return {
        "name": f"PyTorch {precision}",
        "model": variant,
        "precision": precision,
        "provider": _torch_device(wish),
        "reference": True,
        "in_pytorch": True,
    }


def _torch_device(wish: Wish) -> str:
    return "cuda" if wish.provider in ("cuda", "tensorrt") else "cpu"


def _size(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[0]}x{size_hw[1]}"
