"""Names of published models, which stand wherever a model file may: vit_small, vit_small:fp16."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metric3d_ros.assembly.plan_files import PLAN_PRECISIONS
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.hub.variants import VARIANTS

_USUAL = PLAN_PRECISIONS[0]


@dataclass(frozen=True)
class ModelName:
    """A published variant in a precision."""

    variant: str
    precision: str = _USUAL

    def __str__(self) -> str:
        return self.variant if self.precision == _USUAL else f"{self.variant}:{self.precision}"

    @property
    def file_name(self) -> str:
        """Base name of its model file."""
        return f"{str(self).replace(':', '_')}.onnx"


def parse_model_name(text: str | Path) -> ModelName | None:
    """Return the published model that a text names; None if it names none, and so must be a file.

    Raises:
        ConfigurationError: a published variant in a precision that cannot be had by name.
    """
    variant, colon, precision = str(text).partition(":")
    if variant not in VARIANTS:
        return None
    if colon and precision not in PLAN_PRECISIONS:
        raise ConfigurationError(
            f"model is '{text}', expected {variant} with {' or '.join(f':{each}' for each in PLAN_PRECISIONS)}: make "
            "other precisions with `metric3d export`"
        )
    return ModelName(variant, precision or _USUAL)


def all_model_names() -> list[ModelName]:
    """Return every published model by its name."""
    return [ModelName(variant, precision) for variant in VARIANTS for precision in PLAN_PRECISIONS]
