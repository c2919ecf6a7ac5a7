"""Times candidates in alternation, A B A B ..., once their outputs are known to be equal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from metric3d_ros.bench.candidates import Candidate, Run, Runner
from metric3d_ros.bench.statistics import PairedRatio, Summary
from metric3d_ros.errors import Metric3DError

_SETTLE_S = 0.03
"""Between two runs: threads of the previous one may still busy-wait for work."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to measure: rounds until `seconds` have passed, at least `least` and at most `most` of them.

    `warm_up` runs of each candidate come before, and do not count.
    """

    seconds: float
    least: int
    most: int
    warm_up: int


@dataclass
class Times:
    """The runs of one candidate, one for each round."""

    runs: list[Run] = field(default_factory=list)

    @property
    def total_ms(self) -> list[float]:
        return [run.total_ms for run in self.runs]

    def summary(self) -> Summary:
        """Return percentiles of the whole time of an image."""
        return Summary.of(self.total_ms)

    def stages(self) -> dict[str, Summary]:
        """Return percentiles by stage."""
        names = dict.fromkeys(stage for run in self.runs for stage in run.stages_ms)
        return {name: Summary.of([run.stages_ms[name] for run in self.runs if name in run.stages_ms]) for name in names}

    def images_per_s(self) -> float:
        """Return the throughput of images that go through one after the other."""
        return 1e3 * len(self.runs) / sum(self.total_ms)

    def cpu_percent(self) -> float:
        """Return the CPU time of all threads per wall time: 200 is two cores, always busy."""
        return 100 * sum(run.cpu_ms for run in self.runs) / sum(self.total_ms)

    def ratio_to(self, baseline: Times) -> PairedRatio:
        """Return how many times as long as the baseline it takes, round by round."""
        return PairedRatio.of(self.total_ms, baseline.total_ms)


def time_in_turn(
    runners: Mapping[Candidate, Runner],
    *,
    outputs: Collection[str],
    pace: Pace,
    on_failure: Callable[[Candidate, Metric3DError], None],
    clock_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[Candidate, Times]:
    """Run every runner once a round, in the same order, and return each one's times.

    One that fails is reported to `on_failure` and has no times.
    """
    times = {candidate: Times() for candidate in runners}

    def run_all() -> dict[Candidate, Run]:
        done = {}
        for candidate in list(times):
            sleep(_SETTLE_S)
            try:
                done[candidate] = runners[candidate].run(outputs)
            except Metric3DError as error:
                del times[candidate]
                on_failure(candidate, error)
        return done

    for _ in range(pace.warm_up):
        run_all()
    started_s = clock_s()
    rounds = 0
    while times and (rounds < pace.least or (rounds < pace.most and clock_s() - started_s < pace.seconds)):
        for candidate, run in run_all().items():
            times[candidate].runs.append(run)
        rounds += 1
    return times
