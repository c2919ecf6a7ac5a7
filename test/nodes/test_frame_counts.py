"""Bad frames are counted always and said now and then, each reason for itself."""

from metric3d_ros.errors import CameraError, MessageError
from metric3d_ros.nodes.health.frame_counts import FrameCounts


def test_each_reason_is_said_once_in_five_seconds():
    now_s = 100.0
    counts = FrameCounts(clock_s=lambda: now_s)
    assert counts.add_bad(MessageError("100 bytes are missing"))
    assert not counts.add_bad(MessageError("200 bytes are missing")), "the same reason, whatever the number"
    assert counts.add_bad(CameraError("the camera is not calibrated")), "another reason is news"
    now_s = 104.9
    assert not counts.add_bad(MessageError("300 bytes are missing"))
    now_s = 105.0
    assert counts.add_bad(MessageError("400 bytes are missing"))
    assert counts.bad == 5


def test_many_reasons_at_once_neither_flood_the_log_nor_the_memory():
    counts = FrameCounts(clock_s=lambda: 0.0)
    said = [counts.add_bad(MessageError("x" * n)) for n in range(1000)]
    assert sum(said) == 20
    assert counts.bad == 1000


def test_last_reason_is_one_line():
    counts = FrameCounts()
    counts.add_bad(MessageError("first\n  second"))
    assert counts.last_reason == "first second"
    counts.add_bad(ValueError())
    assert counts.last_reason == "ValueError"
