"""Each frame that is dropped is counted under its reason; of bad ones the log warns now and then, once a reason."""

from metric3d_ros.errors import CameraError, MessageError
from metric3d_ros.nodes.health.frame_counts import Dropped, FrameCounts


def test_frame_is_counted_under_the_one_reason_for_which_it_was_dropped():
    counts = FrameCounts(warn=print)
    counts.drop(Dropped.REPLACED)
    counts.drop(Dropped.REPLACED)
    counts.drop_bad(MessageError("no picture"))
    assert {why: count for why, count in counts.dropped.items() if count} == {Dropped.REPLACED: 2, Dropped.BAD: 1}


def test_each_reason_is_logged_once_in_five_seconds():
    now_s, log = 100.0, []
    counts = FrameCounts(warn=log.append, clock_s=lambda: now_s)
    counts.drop_bad(MessageError("100 bytes are missing"))
    counts.drop_bad(MessageError("200 bytes are missing"))  # the same reason, whatever the number
    counts.drop_bad(CameraError("the camera is not calibrated"))
    assert log == ["frame dropped: 100 bytes are missing", "frame dropped: the camera is not calibrated"]
    now_s = 104.9
    counts.drop_bad(MessageError("300 bytes are missing"))
    assert len(log) == 2
    now_s = 105.0
    counts.drop_bad(MessageError("400 bytes are missing"))
    assert log[2:] == ["frame dropped: 400 bytes are missing"]
    assert counts.dropped[Dropped.BAD] == 5


def test_many_reasons_at_once_neither_flood_the_log_nor_the_memory():
    log = []
    counts = FrameCounts(warn=log.append, clock_s=lambda: 0.0)
    for n in range(1000):
        counts.drop_bad(MessageError("x" * n))
    assert len(log) == 20
    assert counts.dropped[Dropped.BAD] == 1000


def test_last_reason_is_one_line():
    counts = FrameCounts(warn=print)
    counts.drop_bad(MessageError("first\n  second"))
    assert counts.last_reason == "first second"
    counts.drop_bad(ValueError())
    assert counts.last_reason == "ValueError"
