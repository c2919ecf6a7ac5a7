"""From the options of `metric3d bench` to the comparisons that it makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metric3d_ros.bench.alternation import Pace
from metric3d_ros.bench.candidates import FP32, HOST_PROVIDERS, UNKNOWN, Candidate
from metric3d_ros.bench.comparison import Comparison, Refusal
from metric3d_ros.bench.models import OPTIMISED, PLAIN, make_model, missing_for_export, model_path
from metric3d_ros.engine import DEMO_MODEL, PROVIDERS
from metric3d_ros.errors import ConfigurationError, ExportError, ModelError, ProviderError
from metric3d_ros.estimation.depth_model import locate_model, open_model

VARIANTS = ("vit_small", "vit_large", "vit_giant2", "convnext_tiny", "convnext_large", "vit_demo", "lite_demo")
SIZES_HW = ((616, 1064), (480, 640))
QUICK_SIZES_HW = ((480, 640),)
DEMO_SIZES_HW = ((252, 336), (480, 640))
"""For the demo model, which was trained at the first one."""

PRECISIONS = ("fp32", "fp32-half-weights", "fp16", "mixed", "int8", "bf16")
"""Those of `metric3d export`, and bf16: the float32 file, computed in bfloat16 by a provider that can."""
COMPUTED_IN = {"bf16": "openvino"}
"""Precisions without a file of their own, and the provider that computes in them."""
HOST_PRECISIONS, GPU_PRECISIONS = (FP32, "bf16", "int8"), (FP32, "fp16")
TORCH_ON_GPU = ("fp32", "fp16", "fp16-compiled")

FULL_PACE = Pace(seconds=60.0, least=5, most=200, warm_up=1)
QUICK_PACE = Pace(seconds=10.0, least=3, most=50, warm_up=1)

SLOW_TO_START = ("tensorrt",)
MOST_SIDE_PX = 16384


@dataclass(frozen=True, kw_only=True)
class Request:
    """The user's choice; None for the default."""

    variants: Sequence[str] | None = None
    sizes_hw: Sequence[tuple[int, int]] | None = None
    precisions: Sequence[str] | None = None
    providers: Sequence[str] | None = None
    models: Sequence[Path] = ()
    against: Path | None = None
    quick: bool = False
    pytorch: bool = True


@dataclass
class Plan:
    """All comparisons, and what was left out with the reason."""

    comparisons: list[Comparison] = field(default_factory=list)
    left_out: list[Refusal] = field(default_factory=list)


def check_names(request: Request) -> None:
    """Raise ConfigurationError for a name that is not known, ModelError for a file that is not there."""
    for option, names, known in (
        ("--variants", request.variants, VARIANTS),
        ("--precisions", request.precisions, PRECISIONS),
        ("--providers", request.providers, tuple(PROVIDERS)),
    ):
        for name in names or ():
            if name not in known:
                raise ConfigurationError(f"{option} has '{name}', expected some of {', '.join(known)}")
    for option, path in (*(("--model", each) for each in request.models), ("--against", request.against)):
        try:
            if path is not None:
                locate_model(path)
        except ModelError as error:
            raise ModelError(f"{option}: {error}") from error


def make_plan(request: Request, *, log: Callable[[str], None]) -> Plan:
    """Find what can run here, make the models that are missing, and plan the comparisons.

    Raises ConfigurationError, ProviderError or ModelError for what was asked for by name and is not to be had.
    """
    check_names(request)
    plan = Plan()
    providers = _providers(request, plan)
    files = [_describe_file(path, providers[0], name=path.name) for path in request.models]
    against = _describe_file(request.against, providers[0], name=request.against.name) if request.against else None
    missing = missing_for_export()
    if not files and request.variants is None and missing and not _is_made(VARIANTS[0]):
        plan.left_out.append(
            Refusal(
                label="vit_small",
                reason=f"making models needs {missing}: `pip install '.[export]'` in the source folder; the demo "
                "model takes its place",
            )
        )
        files = [_describe_file(Path(DEMO_MODEL), providers[0], name=DEMO_MODEL)]
    for group in _by_variant(files):
        sizes_hw = request.sizes_hw or (DEMO_SIZES_HW if group[0].model == DEMO_MODEL else _default_sizes(request))
        for size_hw in sizes_hw:
            plan.comparisons += _compare_files(group, against, providers, size_hw)
    if request.variants is not None or not files:
        for variant in request.variants or VARIANTS[:1]:
            _add_variant(plan, variant, providers, request, against, log)
    return plan


def _default_sizes(request: Request) -> Sequence[tuple[int, int]]:
    return QUICK_SIZES_HW if request.quick else SIZES_HW


def _providers(request: Request, plan: Plan) -> list[str]:
    """Return the providers asked for, or else all that work here and need no minutes to start, the preferred first."""
    if request.providers:
        for name in request.providers:
            open_model(DEMO_MODEL, provider=name)
        return list(dict.fromkeys(request.providers))
    working = []
    for name in PROVIDERS:
        if name in SLOW_TO_START:
            plan.left_out.append(Refusal(label=f"provider {name}", reason="it builds for minutes: name it to time it"))
            continue
        try:
            open_model(DEMO_MODEL, provider=name)
            working.append(name)
        except ProviderError as error:
            plan.left_out.append(Refusal(label=f"provider {name}", reason=str(error)))
    if not working:
        raise ProviderError(plan.left_out[-1].reason)
    return working


def _describe_file(path: Path, provider: str, *, name: str) -> Candidate:
    """Open a file once on one provider and return its metadata; a published name becomes its file."""
    model = open_model(path, provider=provider)
    metadata = model.metadata
    return Candidate(
        name=name,
        model=DEMO_MODEL if str(path) == DEMO_MODEL else str(model.path),
        provider=provider,
        precision=metadata.precision if metadata else UNKNOWN,
        variant=metadata.variant if metadata else None,
        weights_sha256=metadata.weights_sha256 if metadata else None,
        stand_in_weights=metadata.meaningless if metadata else False,
    )


def _on(candidate: Candidate, provider: str) -> Candidate:
    return dataclasses.replace(candidate, provider=provider)


def _by_variant(files: Sequence[Candidate]) -> list[list[Candidate]]:
    """Return the files of each variant, which alone can be equal; files without metadata go with the first one."""
    groups: dict[str | None, list[Candidate]] = {}
    for file in files:
        groups.setdefault(file.variant or files[0].variant, []).append(file)
    return list(groups.values())


def _compare_files(
    files: Sequence[Candidate], against: Candidate | None, providers: Sequence[str], size_hw: tuple[int, int]
) -> list[Comparison]:
    """Compare files with `against`, or with the first of them, on each kind of device that `providers` compute on."""
    comparisons = []
    for kind in _kinds(providers):
        first = _on(against or files[0], kind[0])
        members = [first, *(_on(file, provider) for file in files for provider in kind)]
        comparisons.append(_comparison(_title(files[0].name, size_hw, kind), size_hw, members))
    return comparisons


def _add_variant(
    plan: Plan,
    variant: str,
    providers: Sequence[str],
    request: Request,
    against: Candidate | None,
    log: Callable[[str], None],
) -> None:
    """Compare a variant's optimised files, and PyTorch, with its plain export, and with `against` where given."""
    for kind in _kinds(providers):
        on_host = kind[0] in HOST_PROVIDERS
        precisions = request.precisions or (HOST_PRECISIONS if on_host else GPU_PRECISIONS)
        if request.quick and not request.precisions:
            precisions = precisions[:1]
        # The CPU provider is there in every ONNX Runtime.
        baseline = _made(variant, PLAIN, FP32, "cpu" if on_host else kind[0], log)
        members = []
        for precision in precisions:
            able = [name for name in kind if COMPUTED_IN.get(precision, name) == name]
            stored, computed_in = (FP32, precision) if precision in COMPUTED_IN else (precision, "")
            if not able:
                reason = f"only provider {COMPUTED_IN[precision]} computes in it, which is not timed here"
                plan.left_out.append(Refusal(label=f"{variant} {precision}", reason=reason))
                continue
            try:
                made = _made(variant, OPTIMISED, stored, kind[0], log)
            except ExportError as error:
                plan.left_out.append(Refusal(label=f"{variant} {precision}", reason=str(error)))
                continue
            members += [dataclasses.replace(made, provider=name, computed_in=computed_in) for name in able]
        members.sort(key=lambda each: kind.index(each.provider))
        torch_members = _torch_members(baseline, on_host) if request.pytorch else []
        for size_hw in request.sizes_hw or _default_sizes(request):
            title = _title(variant, size_hw, kind)
            plan.comparisons.append(_comparison(title, size_hw, [baseline, *members, *torch_members]))
            if against is not None:
                other = _on(against, baseline.provider)
                plan.comparisons.append(_comparison(f"{title}, against {against.name}", size_hw, [other, *members]))


def _is_made(variant: str) -> bool:
    """Whether the models of a variant that a comparison begins with are there from an earlier run."""
    return all(model_path(variant, precision=FP32, form=form).exists() for form in (PLAIN, OPTIMISED))


def _torch_members(baseline: Candidate, on_host: bool) -> list[Candidate]:
    """Return PyTorch with the baseline's network and weights."""
    return [
        Candidate(
            name="PyTorch",
            model=str(baseline.variant),
            provider="cpu" if on_host else "cuda",
            precision=precision,
            variant=baseline.variant,
            weights_sha256=baseline.weights_sha256,
            stand_in_weights=baseline.stand_in_weights,
            in_pytorch=True,
        )
        for precision in ((FP32,) if on_host else TORCH_ON_GPU)
    ]


def _made(variant: str, form: str, precision: str, provider: str, log: Callable[[str], None]) -> Candidate:
    path = make_model(variant, precision=precision, form=form, log=log)
    return _describe_file(path, provider, name=form)


def _kinds(providers: Sequence[str]) -> list[list[str]]:
    """Return the providers by where they compute, host and device: only those of one kind are compared."""
    host = [name for name in providers if name in HOST_PROVIDERS]
    return [kind for kind in ([name for name in providers if name not in HOST_PROVIDERS], host) if kind]


def _title(what: str, size_hw: tuple[int, int], kind: Sequence[str]) -> str:
    where = "CPU" if kind[0] in HOST_PROVIDERS else "GPU"
    return f"{what} at {size_hw[0]}x{size_hw[1]}, {where}"


def _comparison(title: str, size_hw: tuple[int, int], members: Sequence[Candidate]) -> Comparison:
    """Compare members, each once."""
    return Comparison(title=title, size_hw=size_hw, members=list(dict.fromkeys(members)))
