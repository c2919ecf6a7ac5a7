"""What others send and a node cannot use is counted and logged now and then, and rclpy's executor goes on after it."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import rclpy
from ros_process import next_domain
from std_msgs.msg import Bool

from metric3d_ros.errors import MessageError
from metric3d_ros.nodes.serving.enduring_executor import EnduringExecutor
from metric3d_ros.nodes.serving.faults import Faults, one_line
from metric3d_ros.nodes.serving.serving_node import ServingNode


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text):
        self.lines.append(text)


def test_every_fault_is_counted_and_each_kind_is_logged_once_in_ten_seconds():
    log, now = Log(), [0.0]
    faults = Faults(log, now_s=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        faults.note("message on /clock", ValueError("negative"))
    assert faults.count == 25
    assert faults.last == "message on /clock refused: ValueError: negative"
    assert log.lines == [
        "message on /clock refused: ValueError: negative",
        "message on /clock refused: ValueError: negative (and 9 others since the last such line)",
        "message on /clock refused: ValueError: negative (and 9 others since the last such line)",
    ]


def test_other_kinds_are_logged_at_once_but_no_part_that_a_sender_chooses_makes_a_kind():
    log = Log()
    faults = Faults(log, now_s=lambda: 0.0)
    for index in range(100):
        faults.note("request to x", ValueError(f"value {index}"), part=f"parameter {index}: ")
    faults.note("request to x", TypeError("other"))
    faults.note("request to y", MessageError("a message of ours"))
    assert log.lines == [
        "request to x refused: parameter 0: ValueError: value 0",
        "request to x refused: TypeError: other (and 99 others since the last such line)",
        "request to y refused: a message of ours",
    ]


def test_long_message_of_several_lines_becomes_one_short_line():
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    assert len(one_line(ValueError("x" * 10**6))) < 400


@pytest.fixture
def node(monkeypatch, tmp_path):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))
    rclpy.init(args=[], domain_id=next_domain())
    node = ServingNode("enduring")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def spin_until(executor, done):
    for _ in range(200):
        if done():
            return True
        executor.spin_once(timeout_sec=0.05)
    return done()


@pytest.mark.parametrize("stage", ["callback", "take"])
def test_failing_subscription_stops_neither_itself_nor_the_other_callbacks_of_its_group(node, monkeypatch, stage):
    heard, ticks = [], []

    def take(message):
        heard.append(message.data)
        if stage == "callback" and not message.data:
            raise RuntimeError("cannot use it")

    subscription = node.create_subscription(Bool, "flags", take, 10)
    publisher = node.create_publisher(Bool, "flags", 10)
    node.create_timer(0.05, lambda: ticks.append(None))
    executor = EnduringExecutor(node.faults)
    executor.add_node(node)
    if stage == "take":
        original = executor._take_subscription

        def failing(entity):
            execute = original(entity)
            if entity is subscription and not node.faults.count:
                raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "hostile")
            return execute

        monkeypatch.setattr(executor, "_take_subscription", failing)
    try:
        assert spin_until(executor, lambda: publisher.get_subscription_count() == 1)
        publisher.publish(Bool(data=False))
        assert spin_until(executor, lambda: node.faults.count == 1)
        assert "message on /flags refused" in node.faults.last
        before = len(ticks)
        publisher.publish(Bool(data=True))
        assert spin_until(executor, lambda: heard[-1:] == [True] and len(ticks) > before + 2)
    finally:
        executor.shutdown()
