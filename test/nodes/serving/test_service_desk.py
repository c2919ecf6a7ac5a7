"""Requests are answered in their order on one thread, with a gap in which clients take their replies."""

import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from metric3d_ros.nodes.serving.service_desk import GAP_S, MOST_WAITING, ServiceDesk


@pytest.fixture
def desk():
    desk = ServiceDesk(SimpleNamespace(executor=None))
    yield desk
    desk.close(timeout_s=10)


def wait_for(future):
    deadline_s = time.monotonic() + 20
    while not future.done():
        assert time.monotonic() < deadline_s, "not answered"
        time.sleep(0.0005)
    return time.monotonic()


def test_answers_come_in_order_with_a_gap_between_them_however_many_wait(desk):
    answered_s = []

    def answer(number):
        return lambda: answered_s.append(time.monotonic()) or number

    futures = [desk.submit(answer(number)) for number in range(20)]
    wait_for(futures[-1])
    assert [future.result() for future in futures] == list(range(20))
    # The n-th is worked out only after n - 1 were given.
    assert all(at_s - answered_s[0] >= GAP_S * (n - 1) for n, at_s in enumerate(answered_s) if n)


def test_answer_that_took_long_waits_for_no_gap_and_the_end_of_the_node_ends_it(desk, monkeypatch):
    waits_s = []
    monkeypatch.setattr(desk.closing, "wait", waits_s.append)
    wait_for(desk.submit(lambda: None))
    wait_for(desk.submit(lambda: time.sleep(2 * GAP_S)))
    assert waits_s == [0.0, 0.0]


def test_what_is_too_much_is_refused(desk):
    started, go_on = threading.Event(), threading.Event()
    desk.submit(lambda: started.set() or go_on.wait())
    assert started.wait(20)
    accepted = [desk.submit(lambda: None) for _ in range(MOST_WAITING + 5)]
    go_on.set()
    assert [future is not None for future in accepted] == [True] * MOST_WAITING + [False] * 5
    wait_for(accepted[MOST_WAITING - 1])
