"""The size that holds a rate, found on simulated machines: it converges, stays, and follows the load."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metric3d_ros.estimation.adaptive_size import AdaptiveSize, size_ladder

MULTIPLE = 28
IMAGE_HW = (1080, 1920)
LARGEST_HW = (739, 1314)
RATE_HZ = 10.0


def padded_pixels(size_hw):
    return math.prod(-(-side // MULTIPLE) * MULTIPLE for side in size_hw)


class Machine:
    """Costs a constant, a part that grows with the pixels, and one with their square; all in ms, pixels in millions."""

    def __init__(self, constant_ms, linear_ms, square_ms, *, noise=0.0, seed=0):
        self.costs, self.noise, self.load = (constant_ms, linear_ms, square_ms), noise, 1.0
        self.random = random.Random(seed)

    def time_ms(self, size_hw):
        megapixels = padded_pixels(size_hw) / 1e6
        ideal = sum(cost * megapixels**power for power, cost in enumerate(self.costs))
        return ideal * self.load * (1 + self.noise * self.random.uniform(-1, 1))


def make_size(rate_hz=RATE_HZ):
    return AdaptiveSize(IMAGE_HW, largest_hw=LARGEST_HW, size_multiple=MULTIPLE, target_rate_hz=rate_hz)


def run(adaptive, machine, frames, *, other_ms=0.0):
    """Return the size of each frame."""
    sizes = []
    for _ in range(frames):
        sizes.append(adaptive.size_hw)
        adaptive.add(adaptive.size_hw, machine.time_ms(adaptive.size_hw), other_ms=other_ms)
    return sizes


machines = st.builds(
    Machine,
    st.floats(0, 30),
    st.floats(1, 2000),
    st.floats(0, 4000),
    noise=st.sampled_from([0.0, 0.02, 0.04]),
    seed=st.integers(0, 1000),
)


@settings(deadline=None, max_examples=60)
@given(machines, st.floats(1, 60))
def test_it_settles_on_a_size_that_holds_the_rate_and_wastes_little(machine, rate_hz):
    adaptive = make_size(rate_hz)
    run(adaptive, machine, 400)
    late = run(adaptive, machine, 300)
    machine.noise = 0.0
    period_ms, time_ms = 1e3 / rate_hz, machine.time_ms(late[-1])
    assert sum(after < before for before, after in itertools.pairwise(late)) <= 1, "it goes up and down"
    if late[-1] != adaptive.sizes_hw[0]:
        assert time_ms <= 1.05 * period_ms
    if late[-1] != adaptive.sizes_hw[-1]:
        above = adaptive.sizes_hw[adaptive.sizes_hw.index(late[-1]) + 1]
        growth = math.prod(-(-side // MULTIPLE) for side in above) / math.prod(
            -(-side // MULTIPLE) for side in late[-1]
        )
        # Else the next size up would have been expected to fit.
        assert time_ms * growth**2 > 0.9 * period_ms / 1.05


@settings(deadline=None, max_examples=30)
@given(machines)
def test_more_load_makes_it_smaller_and_less_load_larger_again(machine):
    machine.noise = 0.0
    adaptive = make_size()
    before = run(adaptive, machine, 300)[-1]
    machine.load = 3.0
    loaded = run(adaptive, machine, 300)[-1]
    assert machine.time_ms(loaded) <= 1e3 / RATE_HZ or loaded == adaptive.sizes_hw[0]
    assert loaded <= before
    machine.load = 1.0
    after = run(adaptive, machine, 1200)[-1]
    assert machine.time_ms(after) >= 0.65 * machine.time_ms(before)


@settings(deadline=None, max_examples=30)
@given(machines)
def test_it_is_quick_to_leave_a_size_that_is_far_too_slow(machine):
    adaptive = make_size()
    run(adaptive, machine, 300)
    machine.load = 20.0
    assume(machine.time_ms(adaptive.sizes_hw[0]) < 1e3 / RATE_HZ)
    slow = [size for size in run(adaptive, machine, 20) if machine.time_ms(size) > 3e3 / RATE_HZ]
    assert len(slow) <= 3


def test_a_load_that_flickers_is_followed_ever_more_slowly():
    adaptive, machine = make_size(), Machine(5, 300, 100)
    run(adaptive, machine, 100)
    changes = []
    for _ in range(20):
        seen = []
        for load, frames in ((2.0, 10), (1.0, 10)):
            machine.load = load
            seen += run(adaptive, machine, frames)
        changes.append(sum(a != b for a, b in itertools.pairwise(seen)))
    assert sum(changes[10:]) <= sum(changes[:10]) / 2


def test_a_single_slow_frame_changes_nothing():
    adaptive, machine = make_size(), Machine(5, 300, 100)
    before = run(adaptive, machine, 200)[-1]
    adaptive.add(before, 1.9e3 / RATE_HZ)
    assert set(run(adaptive, machine, 50)) == {before}


def test_what_else_a_frame_costs_is_left_free():
    machine = Machine(5, 300, 100)
    sizes = {other_ms: run(make_size(), machine, 400, other_ms=other_ms)[-1] for other_ms in (0.0, 40.0, 200.0)}
    assert sizes[40.0] < sizes[0.0]
    assert machine.time_ms(sizes[40.0]) + 40 <= 1e3 / RATE_HZ
    assert sizes[200.0] == make_size().sizes_hw[0]


def test_a_fast_machine_gets_the_largest_size_and_no_more():
    assert run(make_size(), Machine(0, 1, 1), 100)[-1] == LARGEST_HW


def test_frames_of_a_size_that_was_left_are_not_counted():
    adaptive = make_size()
    for _ in range(10):
        adaptive.add((28, 56), 1e6)
    assert adaptive.size_hw == make_size().size_hw


@pytest.mark.parametrize(
    ("image_hw", "largest_hw"),
    [((1080, 1920), (1080, 1920)), ((1920, 1080), (960, 540)), ((480, 640), (480, 640)), ((40, 2000), (40, 2000))],
)
def test_sizes_keep_the_aspect_and_are_few(image_hw, largest_hw):
    ladder = size_ladder(image_hw, largest_hw=largest_hw, size_multiple=MULTIPLE)
    assert ladder[-1] == largest_hw
    pixels = [math.prod(size) for size in ladder]
    assert all(above >= 1.08 * below for below, above in itertools.pairwise(pixels))
    for height, width in ladder[:-1]:
        assert max(height, width) % MULTIPLE == 0
        assert min(height, width) >= 28
        shorter, longer = sorted((height, width))
        assert abs(shorter - longer * min(image_hw) / max(image_hw)) <= 0.5


def test_the_smallest_image_has_one_size():
    assert size_ladder((28, 28), largest_hw=(28, 28), size_multiple=MULTIPLE) == [(28, 28)]
