"""Networks and exported files that several tests share."""

import fcntl
import importlib.util
import os
from pathlib import Path

import pytest

if importlib.util.find_spec("torch") is None:
    tests = {str(path.relative_to(Path(__file__).parent)) for path in Path(__file__).parent.rglob("test_*.py")}
    collect_ignore = sorted(tests - {"test_requirements.py"})


def _stand_in_network(variant):
    from metric3d_export.weights.checkpoints import load_network, stand_in_weights

    return load_network(variant, stand_in_weights(variant))[0]


def _exported(variant: str, network_fixture: str, request, tmp_path_factory) -> Path:
    """Return the exported network of a fixture. The first of pytest-xdist's workers that wants it writes the file."""
    from metric3d_export.exporter import export_model
    from metric3d_export.progress import Silence

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"exported_{variant}"
    folder.mkdir(exist_ok=True)
    path, complete = folder / f"{variant}.onnx", folder / "complete"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            network = request.getfixturevalue(network_fixture)
            export_model(network, path, weights_file="stand-in", progress=Silence())
            complete.touch()
    return path


@pytest.fixture(scope="session")
def demo_network():
    """The smallest network, with stand-in weights; not to be changed."""
    return _stand_in_network("vit_demo")


@pytest.fixture(scope="session")
def small_network():
    return _stand_in_network("vit_small")


@pytest.fixture(scope="session")
def demo_onnx(request, tmp_path_factory) -> Path:
    return _exported("vit_demo", "demo_network", request, tmp_path_factory)


@pytest.fixture(scope="session")
def small_onnx(request, tmp_path_factory) -> Path:
    return _exported("vit_small", "small_network", request, tmp_path_factory)
