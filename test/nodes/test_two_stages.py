"""Two halves of the work on two neighbouring items run at once, nothing queues, and no item waits in between."""

import threading
import time

import pytest

from metric3d_ros.nodes.pipeline.two_stages import TwoStages
from metric3d_ros.nodes.pipeline.worker import Worker

LONG_S = 10.0


class Stages:
    """Two stages whose second can be held up."""

    def __init__(self, *, first=lambda item: item, **options):
        self.go_on, self.begun, self.done, self.errors = threading.Event(), threading.Semaphore(0), [], []
        self.finished = threading.Semaphore(0)
        self.stages = TwoStages(first=first, second=self._second, on_error=self._on_error, name="second", **options)

    def _second(self, item):
        self.begun.release()
        assert self.go_on.wait(LONG_S)
        self.done.append((item, threading.current_thread().name))
        if item == "bad":
            raise ValueError("bad item")
        self.finished.release()

    def _on_error(self, error):
        self.errors.append(str(error))
        self.finished.release()


def test_first_stage_of_an_item_runs_beside_the_second_of_the_one_before():
    stages = Stages()
    stages.stages.run(1)
    assert stages.begun.acquire(timeout=LONG_S)
    handed_over = threading.Thread(target=stages.stages.run, args=(2,))
    handed_over.start()
    handed_over.join(0.1)
    assert handed_over.is_alive(), "nothing queues: 2 waits until 1 is done"
    stages.go_on.set()
    handed_over.join(LONG_S)
    assert stages.finished.acquire(timeout=LONG_S)
    assert stages.finished.acquire(timeout=LONG_S)
    assert stages.done == [(1, "second"), (2, "second")]
    assert stages.stages.close(timeout_s=LONG_S)


def test_without_overlap_both_stages_run_on_the_callers_thread():
    stages = Stages(overlap=False)
    stages.go_on.set()
    stages.stages.pace()
    stages.stages.run(1)
    assert stages.done == [(1, threading.current_thread().name)]
    assert stages.stages.close(timeout_s=0)


def test_error_of_the_second_stage_is_told_and_the_stage_goes_on():
    stages = Stages()
    stages.go_on.set()
    for item in ("bad", "good"):
        stages.stages.run(item)
        assert stages.finished.acquire(timeout=LONG_S)
    assert stages.errors == ["bad item"]
    assert stages.done[-1][0] == "good"
    assert stages.stages.close(timeout_s=LONG_S)


def test_error_of_the_first_stage_comes_out():
    stages = Stages(first=lambda item: 1 / item)
    with pytest.raises(ZeroDivisionError):
        stages.stages.run(0)
    assert stages.stages.close(timeout_s=LONG_S)


def test_close_tells_when_the_second_stage_is_too_busy_to_end():
    stages = Stages()
    stages.stages.run(1)
    assert stages.begun.acquire(timeout=LONG_S)
    assert not stages.stages.close(timeout_s=0.05)
    stages.stages.pace()  # waits for nothing any more
    stages.go_on.set()
    assert stages.stages.close(timeout_s=LONG_S)


def test_next_item_is_chosen_so_late_that_both_stages_end_together():
    chosen_s, second_ended_s, second_s, first_s = [], [], 0.5, 0.1

    def second(_):
        time.sleep(second_s)
        second_ended_s.append(time.monotonic())

    stages = TwoStages(first=lambda item: time.sleep(first_s), second=second, on_error=lambda _: None, name="second")
    for _ in range(4):
        stages.pace()
        chosen_s.append(time.monotonic())
        stages.run(None)
    assert stages.close(timeout_s=LONG_S)
    # From the third on both durations are known. The one before ends as the first stage does, not some 0.4 s later.
    for chosen, ended in zip(chosen_s[2:], second_ended_s[1:], strict=False):
        assert chosen + first_s == pytest.approx(ended, abs=0.25)


def test_item_that_is_replaced_while_the_worker_paces_is_never_worked_on():
    pacing, go_on, worked, seen = threading.Event(), threading.Event(), threading.Event(), []

    def pace():
        pacing.set()
        assert go_on.wait(LONG_S)

    def work(items):
        seen.append(dict(items))
        worked.set()

    worker = Worker(prepare=lambda: None, work=work, on_error=print, name="worker", pace=pace)
    worker.start()
    worker.offer("camera", 1)
    assert pacing.wait(LONG_S)
    assert worker.offer("camera", 2) == 1
    go_on.set()
    assert worked.wait(LONG_S)
    assert seen == [{"camera": 2}]
    assert worker.stop(timeout_s=LONG_S)
