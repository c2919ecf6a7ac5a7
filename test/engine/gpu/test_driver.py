"""The driver's calls, with a stand-in for its library: what goes in and what comes out."""

import ctypes

import pytest

from metric3d_ros.engine.gpu.driver import CudaDriver


class Library:
    """Has one GPU; `failing` names a call that returns an error."""

    def __init__(self, failing=""):
        self.failing, self.calls, self.taken = failing, [], {}

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            if name == self.failing:
                return 2
            if name == "cuDeviceGetName":
                arguments[0].value = b"NVIDIA Test"
            if name == "cuDeviceGetAttribute":
                ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_int))[0] = {75: 9, 76: 0}[arguments[1]]
            if name == "cuDriverGetVersion":
                ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_int))[0] = 12080
            if name == "cuMemcpyDtoH_v2":
                target, source, size = arguments
                ctypes.memmove(target.value, source.value, size.value)
            if name == "cuMemAlloc_v2":
                ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_uint64))[0] = 0x7F0000000000
                self.taken[0x7F0000000000] = arguments[1].value
            if name == "cuMemFree_v2":
                del self.taken[arguments[0].value]
            return 0

        return call


def test_the_gpu_is_described_by_all_that_a_compiled_model_depends_on():
    assert CudaDriver(Library()).describe_gpu() == "NVIDIA Test, 9.0, driver 12080"


def test_memory_is_copied_to_the_address_that_was_given():
    source, target = ctypes.create_string_buffer(b"depth", 5), ctypes.create_string_buffer(5)
    assert CudaDriver(Library()).copy_to_host(ctypes.addressof(source), ctypes.addressof(target), 5)
    assert target.raw == b"depth"


@pytest.mark.parametrize("failing", ["cuInit", "cuCtxPushCurrent_v2", "cuMemHostRegister_v2"])
def test_pages_that_cannot_be_locked_are_said_to_be_unlocked(failing):
    library = Library(failing)
    assert not CudaDriver(library).lock_pages(0x1000, 4096)
    assert library.calls.count("cuDevicePrimaryCtxRetain") == library.calls.count("cuDevicePrimaryCtxRelease_v2")


def test_memory_that_is_taken_can_be_returned_by_its_address():
    library = Library()
    address = CudaDriver(library).take_memory(3 << 30)
    assert library.taken == {address: 3 << 30}
    CudaDriver(library).return_memory(address)
    assert library.taken == {}


@pytest.mark.parametrize("failing", ["cuInit", "cuMemAlloc_v2"])
def test_memory_that_there_is_not_is_none(failing):
    assert CudaDriver(Library(failing)).take_memory(1 << 40) is None


@pytest.mark.parametrize("failing", ["cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute", "cuDriverGetVersion"])
def test_a_gpu_that_cannot_be_asked_is_not_described(failing):
    assert CudaDriver(Library(failing)).describe_gpu() is None


def test_a_machine_without_a_driver_has_none():
    def load(_):
        raise OSError("no such library")

    assert CudaDriver.load(load) is None
