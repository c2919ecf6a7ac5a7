"""Gaps in one publisher's numbers are lost messages; every other gap is not."""

from metric3d_ros.nodes.intake.sequence_watch import SequenceWatch


class Topic:
    """Who publishes, and how many messages were found missing so far."""

    def __init__(self, *publishers):
        self.publishers, self.asked, self.lost = list(publishers), 0, 0
        self.watch = SequenceWatch(self.ask)

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
