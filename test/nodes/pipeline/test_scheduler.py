"""The newest item of each source wins, both halves of the work overlap where asked, and the end is orderly."""

import threading
import time

import pytest

from metric3d_ros.nodes.pipeline.scheduler import Scheduler

LONG_S = 10.0


class Recorder:
    """A scheduler both of whose halves can be held up, and what was done on which thread."""

    def __init__(self, *, overlap=False, prepare=lambda: None):
        self.worked, self.finished, self.errors, self.rounds = [], [], [], []
        self.work_begun, self.then_begun, self.ended = (threading.Semaphore(0) for _ in range(3))
        self.work_may_end, self.then_may_end = threading.Event(), threading.Event()
        self.scheduler = Scheduler(
            prepare=prepare,
            work=self._work,
            then=self._then,
            overlap=lambda: overlap,
            after_round=lambda items, seconds: self.rounds.append((dict(items), seconds)),
            on_error=self._on_error,
            name="first",
        )
        self.scheduler.start()

    def _work(self, items):
        self.work_begun.release()
        assert self.work_may_end.wait(LONG_S)
        self.worked.append(dict(items))
        if "bad work" in items:
            raise ValueError("bad work")
        return items

    def _then(self, items):
        self.then_begun.release()
        assert self.then_may_end.wait(LONG_S)
        self.finished.append((dict(items), threading.current_thread().name))
        if "bad then" in items:
            raise ValueError("bad then")
        self.ended.release()

    def _on_error(self, error):
        self.errors.append(str(error))
        self.ended.release()

    def offer(self, source, item):
        return self.scheduler.offer(source, item)

    def stop(self, *, timeout_s=LONG_S):
        return self.scheduler.stop(timeout_s=timeout_s)


def wait_for(semaphore, times=1):
    for _ in range(times):
        assert semaphore.acquire(timeout=LONG_S)


def test_newer_item_replaces_the_one_of_the_same_source_only():
    recorder = Recorder()
    recorder.then_may_end.set()
    recorder.offer("left", 0)
    wait_for(recorder.work_begun)
    assert [recorder.offer("left", 1), recorder.offer("right", 2), recorder.offer("left", 3)] == [None, None, 1]
    recorder.work_may_end.set()
    wait_for(recorder.ended, 2)
    assert recorder.worked == [{"left": 0}, {"left": 3, "right": 2}]
    assert recorder.stop()


def test_stopped_scheduler_hands_items_back_and_drops_what_waits():
    recorder = Recorder()
    recorder.then_may_end.set()
    recorder.offer("camera", 1)
    wait_for(recorder.work_begun)
    recorder.offer("camera", 2)
    assert recorder.stop(timeout_s=0.05) is False, "the work still goes on"
    assert recorder.offer("camera", 3) == 3
    recorder.work_may_end.set()
    assert recorder.stop() is True
    assert recorder.worked == [{"camera": 1}]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("bad", ["bad work", "bad then"])
def test_error_of_either_half_is_reported_and_the_next_item_works(bad, overlap):
    recorder = Recorder(overlap=overlap)
    recorder.work_may_end.set()
    recorder.then_may_end.set()
    recorder.offer(bad, 1)
    wait_for(recorder.ended)
    recorder.offer("good", 2)
    wait_for(recorder.ended)
    assert recorder.errors == [bad]
    assert recorder.finished[-1][0] == {"good": 2}
    assert recorder.stop()


def test_error_while_preparing_ends_the_scheduler():
    def prepare():
        raise OSError("no model")

    recorder = Recorder(prepare=prepare)
    wait_for(recorder.ended)
    recorder.offer("camera", 1)
    assert recorder.errors == ["no model"]
    assert recorder.stop()
    assert recorder.worked == []


def test_scheduler_that_was_never_started_can_be_stopped():
    scheduler = Scheduler(prepare=print, work=print, on_error=print, name="idle")
    assert scheduler.stop(timeout_s=0.1)


def test_without_overlap_both_halves_run_on_one_thread_and_the_round_is_all_of_it():
    recorder = Recorder()
    recorder.work_may_end.set()
    recorder.offer("camera", 1)
    wait_for(recorder.then_begun)
    time.sleep(0.05)
    assert not recorder.rounds
    recorder.then_may_end.set()
    wait_for(recorder.ended)
    assert recorder.stop()
    assert recorder.finished == [({"camera": 1}, "first")]
    ((items, seconds),) = recorder.rounds
    assert items == {"camera": 1}
    assert seconds >= 0.05


def test_overlapping_half_of_one_item_runs_beside_the_work_on_the_next_and_nothing_queues():
    recorder = Recorder(overlap=True)
    recorder.work_may_end.set()
    recorder.offer("camera", 1)
    wait_for(recorder.then_begun)
    recorder.offer("camera", 2)
    wait_for(recorder.work_begun, 2)
    recorder.offer("camera", 3)
    assert not recorder.work_begun.acquire(timeout=0.1), "2 waits until 1 is done, and 3 may still be replaced"
    assert recorder.offer("camera", 4) == 3
    recorder.then_may_end.set()
    wait_for(recorder.ended, 3)
    assert recorder.finished == [({"camera": n}, "first_then") for n in (1, 2, 4)]
    assert recorder.stop()


def test_stop_tells_if_the_overlapping_half_is_too_busy_to_end():
    recorder = Recorder(overlap=True)
    recorder.work_may_end.set()
    recorder.offer("camera", 1)
    wait_for(recorder.then_begun)
    assert recorder.stop(timeout_s=0.05) is False
    recorder.then_may_end.set()
    assert recorder.stop() is True
    assert recorder.finished == [({"camera": 1}, "first_then")]


def test_outputs_in_hand_get_their_own_time_at_the_end_even_if_the_work_on_the_next_item_is_stuck():
    recorder = Recorder(overlap=True)
    recorder.work_may_end.set()
    recorder.offer("camera", 1)
    wait_for(recorder.then_begun)
    recorder.work_may_end.clear()
    recorder.offer("camera", 2)
    wait_for(recorder.work_begun, 2)
    threading.Timer(0.3, recorder.then_may_end.set).start()
    assert recorder.stop(timeout_s=0.25) is False
    assert [items for items, _ in recorder.finished] == [{"camera": 1}]
    recorder.work_may_end.set()
    assert recorder.stop() is True


def test_result_in_hand_is_finished_before_the_end():
    recorder = Recorder(overlap=True)
    recorder.then_may_end.set()
    recorder.offer("camera", 1)
    wait_for(recorder.work_begun)
    stopping = threading.Thread(target=recorder.stop)
    stopping.start()
    recorder.work_may_end.set()
    stopping.join(LONG_S)
    assert [items for items, _ in recorder.finished] == [{"camera": 1}]


def overlapping(*, work_s, then_s, on_work, on_then_end):
    """Start a scheduler both of whose halves take a known time."""

    def work(items):
        on_work(items["camera"])
        time.sleep(work_s)

    def then(_):
        time.sleep(then_s)
        on_then_end()

    scheduler = Scheduler(
        prepare=lambda: None, work=work, then=then, overlap=lambda: True, on_error=print, name="overlapping"
    )
    scheduler.start()
    return scheduler


def test_next_item_is_chosen_so_late_that_both_halves_end_together():
    chosen_s, ended_s, done = [], [], threading.Semaphore(0)

    def on_work(_):
        chosen_s.append(time.monotonic())
        scheduler.offer("camera", 0)

    def on_then_end():
        ended_s.append(time.monotonic())
        done.release()

    work_s = 0.1
    scheduler = overlapping(work_s=work_s, then_s=0.5, on_work=on_work, on_then_end=on_then_end)
    scheduler.offer("camera", 0)
    wait_for(done, 4)
    assert scheduler.stop(timeout_s=LONG_S)
    # From the third on both durations are known. The one before ends as the work does, not some 0.4 s later.
    for chosen, ended in zip(chosen_s[2:], ended_s[1:], strict=False):
        assert chosen + work_s == pytest.approx(ended, abs=0.25)


def test_item_that_is_replaced_while_the_scheduler_waits_for_its_time_is_never_worked_on():
    seen, done = [], threading.Semaphore(0)
    scheduler = overlapping(work_s=0.0, then_s=1.0, on_work=seen.append, on_then_end=done.release)
    scheduler.offer("camera", 1)
    wait_for(done)  # from now on it is known that the second half takes a second
    scheduler.offer("camera", 2)
    while seen != [1, 2]:
        time.sleep(0.01)
    time.sleep(0.2)  # 3 comes in the middle of that second
    assert scheduler.offer("camera", 3) is None
    time.sleep(0.1)
    assert scheduler.offer("camera", 4) == 3
    wait_for(done, 2)
    assert scheduler.stop(timeout_s=LONG_S)
    assert seen == [1, 2, 4]


def test_stop_does_not_wait_for_the_time_of_the_next_item():
    seen, done = [], threading.Semaphore(0)
    scheduler = overlapping(work_s=0.0, then_s=0.5, on_work=seen.append, on_then_end=done.release)
    scheduler.offer("camera", 1)
    wait_for(done)
    scheduler.offer("camera", 2)
    while seen != [1, 2]:
        time.sleep(0.01)
    scheduler.offer("camera", 3)
    assert scheduler.stop(timeout_s=LONG_S)
    assert seen == [1, 2]
