"""Messages that are larger than images may be are refused at once, and their memory is given back when they stop."""

from types import SimpleNamespace

import pytest

from metric3d_ros.errors import MessageError
from metric3d_ros.nodes.intake.oversized import LargeMessages


def refused(messages, size_hw=(100, 200)):
    with pytest.raises(MessageError, match="the image is 200 x 100 pixels, expected at most 19999 pixels"):
        messages.check_pixels(size_hw, max_pixels=19_999)


def test_size_and_bytes_have_a_limit_that_may_be_met():
    messages = LargeMessages()
    messages.check_pixels((100, 200), max_pixels=20_000)
    messages.check_bytes(SimpleNamespace(data=bytes(8000)), max_pixels=1000)
    with pytest.raises(MessageError, match="8001 bytes of data, expected at most 8000"):
        messages.check_bytes(SimpleNamespace(data=bytes(8001)), max_pixels=1000)


def test_memory_may_be_given_back_once_when_such_messages_have_stopped_and_not_too_often():
    now = [0.0]
    messages = LargeMessages(now_s=lambda: now[0])
    assert not messages.may_be_given_back()
    refused(messages)
    assert not messages.may_be_given_back()
    now[0] = 4.0
    assert messages.may_be_given_back()
    assert not messages.may_be_given_back()
    now[0] = 5.0
    refused(messages)
    now[0] = 20.0
    assert not messages.may_be_given_back()
    now[0] = 35.0
    assert messages.may_be_given_back()
