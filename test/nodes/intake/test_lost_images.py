"""Images that never arrived are found by gaps in one publisher's numbers, and by the stamps of those that did."""

import numpy as np
import pytest

from metric3d_ros.nodes.intake.lost_images import LostImages, SequenceGaps, StampGaps


class Topic:
    """Who publishes, and how many messages were found missing so far."""

    def __init__(self, *publishers):
        self.publishers, self.asked, self.lost = list(publishers), 0, 0
        self.watch = SequenceGaps(self.ask)

    def ask(self):
        self.asked += 1
        return self.publishers

    def take(self, *numbers):
        self.lost += sum(self.watch.add(number) for number in numbers)
        return self.lost


def test_gaps_are_counted():
    assert Topic("camera").take(1, 2, 3, 6, 7, 17) == 2 + 9


def test_what_came_before_the_first_message_is_not_missed():
    assert Topic("camera").take(4711, 4712) == 0


def test_nobody_is_asked_while_nothing_is_missing():
    topic = Topic("camera")
    topic.take(*range(100))
    assert topic.asked == 1


def test_restarted_publisher_starts_anew():
    topic = Topic("camera")
    topic.take(100, 101)
    topic.publishers = ["camera, started again"]
    assert topic.take(3, 4, 6) == 1


def test_other_publisher_with_higher_numbers_is_no_loss():
    topic = Topic("camera")
    topic.take(1, 2)
    topic.publishers = ["other"]
    assert topic.take(500, 501) == 0
    assert topic.take(503) == 1


def test_numbers_of_two_publishers_tell_nothing():
    assert Topic("left", "right").take(1, 101, 2, 102, 5, 110) == 0


def test_middleware_without_numbers_is_no_loss():
    assert Topic("camera").take(None, None, 7, None, 9) == 0


PERIOD_NS = 33_333_333


def stamps(count, *, start_s=1_000_000_000, jitter=0.0):
    noise = np.random.default_rng(0).uniform(-jitter, jitter, count)
    return [int(start_s * 1e9 + (n + noise[n]) * PERIOD_NS) for n in range(count)]


def watch(images, infos=()):
    loss = StampGaps()
    for stamp in sorted([*images, *infos]):
        if stamp in infos:
            loss.add_camera_info(stamp)
        if stamp in images:
            loss.add_image(stamp)
    return loss.explain()


def test_camera_without_losses_says_nothing():
    sent = stamps(300, jitter=0.1)
    assert watch(sent) is None
    assert watch(sent, sent) is None


def test_two_of_ninety_are_found_by_camera_info():
    sent = stamps(90)
    assert watch([sent[20], sent[70]], sent) == "by their stamps the camera sent 90 images in 3.0 s, and 2 came"


def test_losses_without_camera_info_are_found_by_gaps_of_whole_periods():
    sent = stamps(150)
    kept = [sent[n] for n in range(150) if n % 10 in (0, 1, 5)]  # gaps of 1, 4 and 5 periods
    assert watch(kept) == "by their stamps the camera sent 146 images in 4.8 s, and 45 came"


def test_every_other_image_lost_is_not_far_below():
    sent = stamps(150)
    assert watch(sent[::2], sent) is None


def test_images_that_somebody_thins_out_are_not_lost():
    sent = stamps(150, jitter=0.1)
    assert watch(sent[::6], sent) is None
    assert watch(sent[::30], sent) is None


def test_losses_at_random_are_found_by_camera_info():
    sent = stamps(150)
    kept = [sent[n] for n in (3, 10, 40, 42, 90, 130)]
    assert watch(kept, sent) == "by their stamps the camera sent 150 images in 5.0 s, and 6 came"


@pytest.mark.parametrize("shift_s", range(7))
@pytest.mark.parametrize("with_info", [False, True])
def test_camera_that_changes_its_rate_loses_nothing(shift_s, with_info):
    slow = [10**18 + n * 300_000_000 for n in range(10 + shift_s)]
    fast = [slow[-1] + n * 100_000_000 for n in range(1, 40)]
    for sent in (slow + fast, slow + fast[: 6 * shift_s + 3]):
        assert watch(sent, sent if with_info else ()) is None


def test_camera_info_at_a_pace_of_its_own_proves_nothing():
    images = stamps(40)[::8]
    assert watch(images, [stamp + 1000 for stamp in stamps(40)]) is None


@pytest.mark.parametrize("seed", range(5))
def test_images_at_irregular_times_are_not_taken_for_losses(seed):
    gaps = np.random.default_rng(seed).exponential(1e8, 40)
    assert watch([int(1e18 + t) for t in np.cumsum(gaps)]) is None


def test_slow_camera_is_not_a_lossy_one():
    assert watch([int(1e18 + n * 1e9) for n in range(20)]) is None


def test_only_stamps_count_not_how_fast_a_recording_plays():
    loss = StampGaps()
    for _ in range(3):  # played three times over: stamps jump back
        for stamp in stamps(300):
            loss.add_image(stamp)
            loss.add_camera_info(stamp)
    assert loss.explain() is None


def test_old_losses_are_forgotten():
    sent = stamps(600)
    early, late = sent[:300], sent[300:]
    assert watch([early[20], early[70], *late], sent) is None


def test_two_images_of_one_stamp_do_no_harm():
    assert watch([10**18] * 50) is None


def test_loss_is_told_with_the_remedy_and_is_empty_without_one():
    sent = stamps(90)
    lost = LostImages(lambda: ["camera"])
    assert lost.explain() == ""
    for stamp in sent:
        lost.add_camera_info(stamp)
        if stamp in (sent[20], sent[70]):
            lost.add_image(stamp)
    assert lost.explain().startswith(
        "by their stamps the camera sent 90 images in 3.0 s, and 2 came: start the camera with"
    )
    assert [lost.add_number(number) for number in (7, 8, 11)] == [0, 0, 2]
