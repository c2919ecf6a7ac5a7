"""~/save_snapshot: each request gets an answer about its own snapshot, however long writing takes; no network."""

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from std_srvs.srv import Trigger

from metric3d_ros.nodes.outlet import snapshot_service as module
from metric3d_ros.nodes.outlet.snapshot_service import SnapshotService

RESULT = SimpleNamespace(
    header=SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0)),
    parameters=SimpleNamespace(snapshot=SimpleNamespace(folder="/snapshots")),
)


class Node:
    """Stands in for a node: keeps the service's callback, and fires timers when a test asks."""

    def __init__(self):
        self.due, self.log = [], []

    def create_service(self, kind, name, callback, **_):
        self.callback = callback

    def create_timer(self, period_s, callback, **_):
        self.due.append(callback)
        return callback

    def destroy_timer(self, timer):
        self.due.remove(timer)

    def get_logger(self):
        return SimpleNamespace(info=self.log.append, warning=self.log.append)


class Request:
    """One client's request: its answer is None until it has come."""

    def __init__(self, node):
        self._coroutine = node.callback(Trigger.Request(), Trigger.Response())
        self._answer = None

    @property
    def answer(self):
        if self._answer is None:
            try:
                self._coroutine.send(None)
            except StopIteration as done:
                self._answer = done.value
        return self._answer


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def service(node):
    return SnapshotService(node, timeout_s=1.5)


def while_writing(monkeypatch, do):
    """Let writing a snapshot take as long as `do` does; return the path that it gives."""

    def write(folder, name, result):
        do()
        return Path(folder) / name

    monkeypatch.setattr(module, "write_snapshot", write)


def test_snapshot_that_is_being_written_when_the_time_is_up_is_answered_with_its_path(monkeypatch, node, service):
    request = Request(node)
    assert request.answer is None
    while_writing(monkeypatch, lambda: [give_up() for give_up in node.due])
    service.save(RESULT)
    assert (request.answer.success, request.answer.message) == (True, "/snapshots/1.000000000")
    assert node.due == []


def test_request_that_comes_while_a_snapshot_is_written_gets_a_later_one(monkeypatch, node, service):
    first, later = Request(node), []

    def ask_again():
        later.append(Request(node))
        assert later[0].answer is None
        node.due[0]()  # the first one's time is up, not the later one's

    assert first.answer is None
    while_writing(monkeypatch, ask_again)
    service.save(RESULT)
    assert first.answer.success
    assert later[0].answer is None
    assert service.is_wanted
    while_writing(monkeypatch, lambda: None)
    service.save(SimpleNamespace(**vars(RESULT) | {"header": SimpleNamespace(stamp=SimpleNamespace(sec=2, nanosec=0))}))
    assert later[0].answer.message == "/snapshots/2.000000000"
    assert not service.is_wanted


def test_requests_that_wait_at_the_same_time_get_one_answer(monkeypatch, node, service):
    requests = [Request(node), Request(node)]
    assert [request.answer for request in requests] == [None, None]
    node.due[0]()
    assert ["within 1.5 s" in request.answer.message for request in requests] == [True, True]
    assert not service.is_wanted


def test_failed_writing_is_the_answer_and_a_defect_is_raised_as_well(monkeypatch, node, service):
    for error in (OSError("disk is full"), RuntimeError("a defect")):
        request = Request(node)
        assert request.answer is None

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(module, "write_snapshot", fail)
        if isinstance(error, OSError):
            service.save(RESULT)
        else:
            with pytest.raises(RuntimeError, match="a defect"):
                service.save(RESULT)
        assert not request.answer.success
        assert request.answer.message == f"nothing was saved: {error}"
        assert not service.is_wanted
