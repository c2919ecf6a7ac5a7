"""Networks and exported files that several tests share."""

import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("torch") is None:
    tests = {str(path.relative_to(Path(__file__).parent)) for path in Path(__file__).parent.rglob("test_*.py")}
    collect_ignore = sorted(tests - {"test_requirements.py"})


def _stand_in_network(variant):
    from metric3d_export.weights.checkpoints import load_network, stand_in_weights

    return load_network(variant, stand_in_weights(variant))[0]


def _export(network, directory: Path) -> Path:
    from metric3d_export.exporter import export_model
    from metric3d_export.progress import Silence

    path = directory / f"{network.variant.name}.onnx"
    export_model(network, path, weights_file="stand-in", progress=Silence())
    return path


@pytest.fixture(scope="session")
def demo_network():
    """The smallest network, with stand-in weights; not to be changed."""
    return _stand_in_network("vit_demo")


@pytest.fixture(scope="session")
def small_network():
    return _stand_in_network("vit_small")


@pytest.fixture(scope="session")
def demo_onnx(demo_network, tmp_path_factory) -> Path:
    return _export(demo_network, tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def small_onnx(small_network, tmp_path_factory) -> Path:
    return _export(small_network, tmp_path_factory.mktemp("small"))
