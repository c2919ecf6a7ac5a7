"""Tasks of one frame run at once where there are threads for it, each exactly once."""

import threading

import pytest

from metric3d_ros.nodes.pipeline.side_by_side import SideBySide


@pytest.mark.parametrize("threads", [1, 2, 4, None])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_every_task_runs_once_before_the_call_returns(threads, count):
    crew, done = SideBySide(threads=threads), []
    crew.run(lambda n=n: done.append(n) for n in range(count))
    assert sorted(done) == list(range(count))
    crew.close()


def test_two_threads_work_at_once():
    crew, both = SideBySide(threads=2), threading.Barrier(2)
    for _ in range(3):
        crew.run([lambda: both.wait(10)] * 2)  # alone, the first would wait for ever
    crew.close()


def test_one_thread_is_the_callers_and_keeps_the_order():
    crew, done = SideBySide(threads=1), []
    crew.run(lambda n=n: done.append((n, threading.current_thread())) for n in range(5))
    assert done == [(n, threading.current_thread()) for n in range(5)]
    crew.close()
