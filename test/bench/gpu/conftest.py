"""What tests of the GPU report share."""

import pytest

from metric3d_ros.bench.benchmark_record import BenchReport


@pytest.fixture
def a_setting():
    """What a report ran on, with one GPU."""
    machine = {"cpu": "a cpu", "cpu_instructions": [], "cores": 2, "board": None, "busy_percent": 0.0}
    gpu = {"name": "NVIDIA Test", "driver": "580.1", "memory": "81559 MiB"}
    return BenchReport(
        started="2026-01-01T00:00:00+00:00",
        command=["metric3d", "bench"],
        machine=machine | {"gpus": [gpu]},
        versions={"onnxruntime-gpu": "1.31.1"},
        settings={"threads": 2},
    )
