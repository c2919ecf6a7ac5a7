"""Lent memory: it is used again, but never while anybody can still see it."""

from __future__ import annotations

import gc

import numpy as np

from metric3d_ros.engine.gpu.host_buffers import HostBuffers


class Locker:
    """Notes what is locked."""

    def __init__(self, *, works=True):
        self.works, self.locked = works, {}

    def lock_pages(self, address, size_bytes):
        if self.works:
            self.locked[address] = size_bytes
        return self.works

    def unlock_pages(self, address):
        del self.locked[address]


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_lent_again_once_it_was_given_back():
    buffers = HostBuffers(None)
    first = buffers.lend((3, 5))
    assert (first.shape, first.dtype) == ((3, 5), np.float32)
    place = address(first)
    del first
    assert address(buffers.lend((5, 3))) == place


def test_memory_is_not_lent_again_while_any_view_of_it_lives():
    buffers = HostBuffers(None)
    first = buffers.lend((2, 4, 6))
    view = first[1][1:, ::2].reshape(-1).view(np.uint32)
    before = view.copy()
    del first
    gc.collect()
    second = buffers.lend((2, 4, 6))
    second[:] = 7.0
    np.testing.assert_array_equal(view, before)


def test_a_buffer_that_only_a_memoryview_holds_is_not_lent_again():
    buffers = HostBuffers(None)
    message = memoryview(buffers.lend((100,))).cast("B")
    before = bytes(message)
    buffers.lend((100,))[:] = 3.0
    assert bytes(message) == before


def test_pages_are_locked_once_and_whole():
    locker = Locker()
    buffers = HostBuffers(locker)
    for _ in range(3):
        array = buffers.lend((10, 10))
        assert locker.locked == {address(array): 400}
        del array


def test_sizes_that_no_longer_come_are_let_go():
    locker = Locker()
    buffers = HostBuffers(locker)
    for side in range(1, 60):
        buffers.lend((side, 10))
    assert len(locker.locked) < 25


def test_memory_that_cannot_be_locked_is_lent_all_the_same():
    buffers = HostBuffers(Locker(works=False))
    buffers.lend((4, 4))[:] = 1.0
    assert buffers.lend((4, 4)).shape == (4, 4)


def test_bytes_are_lent_too():
    array = HostBuffers(None).lend((2, 3, 3), np.uint8)
    assert (array.dtype, array.nbytes) == (np.uint8, 18)
