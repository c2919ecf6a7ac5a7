"""GPU memory is read from the driver's library, here a stand-in for it with the same calls."""

import ctypes

import pytest

from metric3d_ros.engine.gpu.memory import GpuMemory, read_gpu_memory


class Driver:
    """Has 16000 MiB, of which 12000 are free; `failing` names a call that returns an error."""

    def __init__(self, failing=""):
        self.failing = failing
        self.calls = []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            if name == self.failing:
                return 2
            if name == "cuMemGetInfo_v2":
                for reference, mib in zip(arguments, (12000, 16000), strict=True):
                    ctypes.cast(reference, ctypes.POINTER(ctypes.c_size_t))[0] = mib << 20
            return 0

        return call


def test_used_is_total_less_free():
    assert read_gpu_memory(lambda _: Driver()) == GpuMemory(used_mib=4000, total_mib=16000)


@pytest.mark.parametrize(
    "failing", ["cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2", "cuMemGetInfo_v2"]
)
def test_failing_driver_says_nothing_and_is_left_as_it_was(failing):
    driver = Driver(failing)
    assert read_gpu_memory(lambda _: driver) is None
    for taken, given_back in [
        ("cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2"),
        ("cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2"),
    ]:
        assert driver.calls.count(given_back) == (driver.calls.count(taken) if taken != failing else 0)


def test_machine_without_a_driver_says_nothing():
    def load(_):
        raise OSError("no such library")

    assert read_gpu_memory(load) is None
