"""Sessions are opened with the threads and cores that the tuning names, and give the same results however tuned."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tiny_models

from metric3d_ros.engine import Tuning, open_engine
from metric3d_ros.engine.sessions import TELEMETRY_VARIABLE
from metric3d_ros.errors import ConfigurationError, ProviderError


def test_threads_keep_to_the_cores_that_are_named():
    code = """
        import os
        import numpy as np
        import onnxruntime
        from metric3d_ros.engine import Tuning, open_engine

        core = max(os.sched_getaffinity(0))
        before = set(os.listdir("/proc/self/task"))
        engine = open_engine(provider="cpu", threads=3, tuning=Tuning(cpus=(core,)))
        image = np.zeros((1, 56, 56, 3), np.uint8)
        engine.run({"image": image, "focal_length": np.ones(1, np.float32)}, ["depth"])
        started = set(os.listdir("/proc/self/task")) - before
        assert len(started) >= 2, started
        print({core} == set().union(*(os.sched_getaffinity(int(thread)) for thread in started)))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout.strip() == "True", result.stderr


def test_the_runtime_collects_nothing_about_its_users(tmp_path):
    code = """
        import numpy as np
        from metric3d_ros.engine import open_engine

        engine = open_engine(provider="cpu")
        engine.run({"image": np.zeros((1, 56, 56, 3), np.uint8), "focal_length": np.ones(1, np.float32)}, ["depth"])
    """
    environment = {name: value for name, value in os.environ.items() if name != TELEMETRY_VARIABLE}
    for name in ("HOME", "XDG_CACHE_HOME"):
        environment[name] = str(tmp_path)
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, timeout=120, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_a_core_that_is_not_there_is_refused(tmp_path):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    with pytest.raises(ProviderError, match=r"cpus are 100000, expected cores"):
        open_engine(path, provider="cpu", tuning=Tuning(cpus=(100000,)))


@pytest.mark.parametrize("tuning", [Tuning(spinning=False), Tuning(threads=1), Tuning()])
def test_tuning_changes_no_result(tuning):
    image = np.random.default_rng(0).integers(0, 255, (1, 60, 90, 3), np.uint8)
    feeds = {"image": image, "focal_length": np.ones(1, np.float32)}
    plain = open_engine(provider="cpu").run(feeds, ["depth"])["depth"]
    engine = open_engine(provider="cpu", threads=tuning.threads, tuning=tuning)
    tuned = engine.run(feeds, ["depth"])["depth"]
    np.testing.assert_allclose(tuned, plain, rtol=1e-5)


@pytest.mark.parametrize("threads", [-3, 99_999_999_999])
def test_a_number_of_threads_that_no_computer_has_is_refused(threads):
    with pytest.raises(ConfigurationError, match=rf"^threads is {threads}, expected 0 \(every core\) to 1024$"):
        open_engine(provider="cpu", threads=threads)
