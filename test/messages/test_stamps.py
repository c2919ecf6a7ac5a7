"""What a stamp is, whether it is of the node's clock, and what is told if it is not."""

from types import SimpleNamespace

import pytest

from metric3d_ros.messages.stamps import NS_PER_S, StampClock, age_ms, apart_ns, format_duration, format_stamp, stamp_ns

NOW_NS = 1_790_000_000 * NS_PER_S


def message(sec, nanosec):
    return SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec)))


def test_stamp_is_nanoseconds():
    assert stamp_ns(message(12, 345_000_000)) == 12_345_000_000


def test_age_is_from_the_stamp_to_now():
    assert age_ms(message(12, 345_000_000), now_ns=12_350_500_000) == 5.5


def test_distance_of_two_stamps_has_no_sign():
    assert apart_ns(3, 10) == apart_ns(10, 3) == 7


def test_stamp_is_written_with_all_its_nanoseconds():
    assert format_stamp(message(12, 345)) == "12.000000345"


def judge(stamp_ns, *, now_ns=NOW_NS, simulated=False):
    clock = StampClock()
    return clock.add(stamp_ns=stamp_ns, now_ns=now_ns), clock.explain(simulated=simulated)


@pytest.mark.parametrize("age_s", [0.0, 0.03, 2.0, 9.9, -0.05])
def test_image_that_has_just_been_taken_has_an_age(age_s):
    assert judge(NOW_NS - round(age_s * NS_PER_S)) == (True, "")


def test_nothing_is_wrong_before_the_first_image():
    assert StampClock().explain(simulated=False) == ""


@pytest.mark.parametrize(
    ("stamp_ns", "text"),
    [
        (0, "the images have no stamp (0): let their driver set it"),
        (12 * NS_PER_S, "the images' stamps are 56.7 years behind this node's clock: set use_sim_time to true if"),
        (NOW_NS - 3 * 86_400 * NS_PER_S, "the images' stamps are 3.0 days behind this node's clock"),
        (NOW_NS - 20 * NS_PER_S, "the images' stamps are 20.0 s behind this node's clock"),
        (NOW_NS + NS_PER_S // 2, "the images' stamps are 0.50 s ahead of this node's clock"),
    ],
)
def test_stamp_of_another_clock_is_told_with_the_remedy(stamp_ns, text):
    is_ours, told = judge(stamp_ns)
    assert not is_ours
    assert told.startswith(text)


def test_simulated_time_has_remedies_of_its_own():
    assert "nothing has come on /clock" in judge(NOW_NS, now_ns=0, simulated=True)[1]
    assert judge(NOW_NS, now_ns=30 * NS_PER_S, simulated=True)[1].endswith(
        "ahead of this node's clock, which is /clock's: stamp images with that time too, or set use_sim_time to false"
    )


def test_newest_image_decides():
    clock = StampClock()
    clock.add(stamp_ns=0, now_ns=NOW_NS)
    clock.add(stamp_ns=NOW_NS, now_ns=NOW_NS)
    assert clock.explain(simulated=False) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.40 s"), (59.0, "59.0 s"), (150.0, "2.5 minutes"), (7_200.0, "2.0 hours"), (1.8e9, "57.0 years")],
)
def test_durations_come_in_the_unit_that_fits(seconds, text):
    assert format_duration(seconds) == text
