"""The worker: newest item wins, nothing is lost twice, and the end is orderly."""

import threading

from metric3d_ros.nodes.pipeline.worker import Mailbox, Worker


def test_newer_item_replaces_the_one_of_the_same_source_only():
    mailbox = Mailbox()
    assert mailbox.put("left", 1) is None
    assert mailbox.put("right", 2) is None
    assert mailbox.put("left", 3) == 1
    assert mailbox.take_all() == {"left": 3, "right": 2}


def test_closed_mailbox_hands_items_back_and_ends_the_wait():
    mailbox = Mailbox()
    mailbox.put("left", 1)
    mailbox.close()
    assert mailbox.take_all() is None
    assert mailbox.put("left", 2) == 2


class Recorder:
    """A worker whose work can be held up."""

    def __init__(self, *, prepare=lambda: None):
        self.seen, self.errors = [], []
        self.started, self.go_on, self.worked = threading.Event(), threading.Event(), threading.Semaphore(0)
        self.worker = Worker(prepare=prepare, work=self._work, on_error=self._on_error, name="recorder")
        self.worker.start()

    def _work(self, items):
        self.started.set()
        assert self.go_on.wait(10)
        self.seen.append(dict(items))
        self.worked.release()
        if "bad" in items:
            raise ValueError("bad item")

    def _on_error(self, error):
        self.errors.append(error)
        self.worked.release()


def test_only_the_newest_item_is_worked_on_after_a_long_one():
    recorder = Recorder()
    recorder.worker.offer("camera", 1)
    assert recorder.started.wait(10)
    assert [recorder.worker.offer("camera", n) for n in (2, 3, 4)] == [None, 2, 3]
    recorder.go_on.set()
    assert recorder.worked.acquire(timeout=10)
    assert recorder.worked.acquire(timeout=10)
    assert recorder.seen == [{"camera": 1}, {"camera": 4}]
    assert recorder.worker.stop(timeout_s=10)


def test_error_in_the_work_is_reported_and_the_next_item_works():
    recorder = Recorder()
    recorder.go_on.set()
    recorder.worker.offer("bad", 1)
    assert recorder.worked.acquire(timeout=10)
    assert recorder.worked.acquire(timeout=10)
    recorder.worker.offer("good", 2)
    assert recorder.worked.acquire(timeout=10)
    assert [str(error) for error in recorder.errors] == ["bad item"]
    assert recorder.seen[-1] == {"good": 2}
    assert recorder.worker.stop(timeout_s=10)


def test_error_while_preparing_ends_the_worker():
    def prepare():
        raise OSError("no model")

    recorder = Recorder(prepare=prepare)
    assert recorder.worked.acquire(timeout=10)
    assert [str(error) for error in recorder.errors] == ["no model"]
    assert recorder.worker.stop(timeout_s=10)
    assert recorder.seen == []


def test_stop_tells_when_the_worker_is_too_busy_to_end():
    recorder = Recorder()
    recorder.worker.offer("camera", 1)
    assert recorder.started.wait(10)
    assert recorder.worker.stop(timeout_s=0.05) is False
    recorder.go_on.set()
    assert recorder.worker.stop(timeout_s=10) is True


def test_worker_that_was_never_started_can_be_stopped():
    worker = Worker(prepare=lambda: None, work=lambda _: None, on_error=lambda _: None, name="idle")
    assert worker.stop(timeout_s=0.1)
