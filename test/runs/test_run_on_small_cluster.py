"""`metric3d run --ray` on a cluster with fewer CPUs than its workers want: it ends, and the work is done."""

import threading

import pytest

pytest.importorskip("ray", reason="ray is not installed: pip install 'metric3d_ros[ray]'")

import ray

from metric3d_ros.errors import ConfigurationError, InferenceError
from metric3d_ros.runs import on_ray
from metric3d_ros.runs.options import RunOptions
from metric3d_ros.runs.runner import Run
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.inputs import Selection, open_recordings

_PATIENCE_S = 240


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A cluster of one CPU."""
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def run(model, folder, tmp_path):
    """Return a run of three chunks."""

    def new(**options):
        recordings, _ = open_recordings([folder], Selection(cameras=CameraChoice(focal_px=70)))
        values = {"threads": 1, "chunk_frames": 1} | options
        return Run(recordings, tmp_path / "out", RunOptions(model=str(model), provider="cpu", **values))

    return new


def end_of(run, *, workers):
    """Do a run on a thread; return its summary, or raise what it raised."""
    results, errors = [], []

    def work():
        try:
            results.append(run.run(ray_address="local", workers=workers))
        except Exception as error:  # raised below, on the test's thread
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    assert not thread.is_alive(), "it never ends"
    if errors:
        raise errors[0]
    return results[0]


def test_workers_that_find_no_cpu_leave_the_work_to_those_that_do(run, tmp_path):
    summary = end_of(run(), workers=3)
    assert (summary.exit_status, summary.done) == (0, 3)
    assert len(list((tmp_path / "out/pictures/png16").iterdir())) == 3


def test_a_run_whose_workers_all_wait_for_a_cpu_can_be_stopped(run, monkeypatch):
    class Occupier:
        def wait(self):
            return True

    occupier = ray.remote(num_cpus=1)(Occupier).remote()
    assert ray.get(occupier.wait.remote())
    stopped, wait = run(), ray.wait

    def stop_and_wait(*arguments, **options):
        stopped.stop()
        return wait(*arguments, **options)

    monkeypatch.setattr(ray, "wait", stop_and_wait)
    summary = end_of(stopped, workers=1)
    assert (summary.exit_status, summary.interrupted, summary.done) == (130, True, 0)
    ray.kill(occupier)


def test_more_threads_than_any_machine_has_cpus_are_refused_with_the_remedy(run):
    message = "^--threads is 8, and the largest machine of the Ray cluster has 1 CPU: give --threads 1 or less, or add"
    with pytest.raises(ConfigurationError, match=message):
        end_of(run(threads=8), workers=1)


def test_workers_that_die_while_they_start_end_the_run_with_one_line(run, monkeypatch):
    class Broken:
        def __init__(self, *_):
            raise RuntimeError("a library\nis missing")

        def process_id(self):
            return 0

    monkeypatch.setattr(on_ray, "Worker", Broken)
    with pytest.raises(InferenceError, match=r"^workers died 3 times while they started \(.*\): check that") as caught:
        end_of(run(), workers=1)
    assert "\n" not in str(caught.value)
