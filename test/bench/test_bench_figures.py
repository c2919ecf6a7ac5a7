"""The arithmetic of a benchmark: percentiles, ratios, differences, the order of runs, tables and bars."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from metric3d_ros.bench import cli, machine, table
from metric3d_ros.bench.alternation import Pace, Times, time_in_turn
from metric3d_ros.bench.benchmark_record import BenchReport, NodeOverhead, describe_setting, read_overhead_ms
from metric3d_ros.bench.candidates import Candidate, Run
from metric3d_ros.bench.comparison import Compared, Comparison, Refusal, Timed, compare_maps, describe_excess
from metric3d_ros.bench.node.stages import NodeStages, NodeTask, name_stages, node_parameters
from metric3d_ros.bench.picture import BASELINE_RGB, FASTER_RGB, SLOWER_RGB, STAGE_RGB, WIDTH, draw_report
from metric3d_ros.bench.statistics import PairedRatio, Summary
from metric3d_ros.comparison.differences import Difference, Figure, Measure, equality_limits
from metric3d_ros.errors import InferenceError


def candidate(name, **changes):
    facts = {"model": f"{name}.onnx", "provider": "cpu", "precision": "fp32", "variant": "tiny"}
    return Candidate(name=name, **(facts | {"weights_sha256": "0", "stand_in_weights": False} | changes))


def run_of(total_ms, cpu_ms=0.0):
    return Run(total_ms=total_ms, cpu_ms=cpu_ms, stages_ms={"infer": total_ms - 1})


def figures(name, times_ms, baseline_ms=None, **changes):
    times = Times([run_of(each, 2 * each) for each in times_ms])
    return Timed(
        candidate=candidate(name, **changes),
        total=times.summary(),
        stages=times.stages(),
        images_per_s=times.images_per_s(),
        cpu_percent=times.cpu_percent(),
        ratio=None if baseline_ms is None else PairedRatio.of(times_ms, baseline_ms),
        differences=[],
        footprint=None,
        peak_memory_mib=None,
    )


def a_report(**changes):
    comparison = Comparison(title="tiny at 56x84, CPU", size_hw=(56, 84), members=[])
    timed = [figures("plain", [200.0]), figures("fast", [100.0], [200.0]), figures("slow", [400.0], [200.0])]
    compared = Compared(comparison=comparison, outputs=["depth"], threads=2, gflop=50.0, timed=timed, refused=[])
    facts = {"system": "s", "board": None, "cpu": "a cpu", "cpu_instructions": [], "cores": 2, "memory_mib": 1}
    report = BenchReport(
        started="2026-01-01T00:00:00+00:00",
        command=["metric3d", "bench"],
        machine=facts | {"gpus": [], "busy_percent": 0.0},
        versions={"python": "3"},
        settings={"threads": 2},
        comparisons=[compared],
    )
    return dataclasses.replace(report, **changes)


def test_percentiles_lie_between_times():
    summary = Summary.of([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (summary.count, summary.p50, summary.mean) == (5, 3.0, 3.0)
    assert (summary.p90, summary.p99) == pytest.approx((4.6, 4.96))
    assert Summary.of([7.0]) == Summary(count=1, p50=7.0, p90=7.0, p99=7.0, mean=7.0)


def test_ratio_is_the_median_of_neighbours_and_not_the_ratio_of_medians():
    ratio = PairedRatio.of([2.0, 3.0, 80.0, 5.0], [1.0, 2.0, 40.0, 4.0])  # 2, 1.5, 2, 1.25
    assert (ratio.pairs, ratio.median) == (4, 1.75)
    assert (ratio.low, ratio.high) == pytest.approx((1.4375, 2.0))
    with pytest.raises(ValueError, match="broadcast"):
        PairedRatio.of([1.0, 2.0, 3.0], [1.0, 2.0])


def test_rate_and_cpu_share_are_those_of_all_runs():
    times = Times([run_of(100.0, 150.0), run_of(300.0, 650.0)])
    assert times.images_per_s() == 5.0
    assert times.cpu_percent() == 200.0
    assert times.stages()["infer"].p50 == 199.0


class Recorder:
    """Notes when it was run, on a clock that it moves."""

    def __init__(self, name, log, clock, seconds):
        self.name, self.log, self.clock, self.seconds = name, log, clock, seconds

    def run(self, outputs):
        self.log.append(self.name)
        self.clock[0] += self.seconds
        return run_of(self.seconds * 1e3)


@pytest.mark.parametrize(
    ("pace", "rounds"),
    [
        (Pace(seconds=10.0, least=1, most=9, warm_up=2), 4),  # 3 s a round: the fourth starts at 9 s
        (Pace(seconds=1.0, least=3, most=9, warm_up=0), 3),
        (Pace(seconds=100.0, least=1, most=2, warm_up=0), 2),
    ],
)
def test_candidates_run_in_turn_after_their_warm_up(pace, rounds):
    log, clock = [], [0.0]
    runners = {candidate(name): Recorder(name, log, clock, s) for name, s in (("a", 1.0), ("b", 2.0))}
    times = time_in_turn(
        runners, outputs=["depth"], pace=pace, clock_s=lambda: clock[0], sleep=lambda _: None, on_failure=pytest.fail
    )
    assert log == ["a", "b"] * (pace.warm_up + rounds)
    assert [each.total_ms for each in times.values()] == [[1e3] * rounds, [2e3] * rounds]


def test_a_candidate_that_fails_is_left_out_and_the_others_go_on():
    log, clock, failures = [], [0.0], []

    class Failing(Recorder):
        def run(self, outputs):
            if len(self.log) > 6:
                raise InferenceError("out of memory")
            return super().run(outputs)

    bad = candidate("bad")
    runners = {candidate("a"): Recorder("a", log, clock, 1.0), bad: Failing("bad", log, clock, 1.0)}
    pace = Pace(seconds=1.0, least=5, most=5, warm_up=1)
    times = time_in_turn(
        runners, outputs=[], pace=pace, on_failure=lambda *words: failures.append(words), sleep=lambda _: None
    )
    assert [(member.name, len(each.runs)) for member, each in times.items()] == [("a", 5)]
    ((failed, error),) = failures
    assert (failed, str(error)) == (bad, "out of memory")


def test_normals_are_compared_by_angle_all_else_by_value_and_a_missing_output_is_infinitely_different():
    depth, normals = np.full((2, 3), 2, np.float32), np.tile(np.array([0, 0, -1], np.float32), (2, 3, 1))
    of_depth, of_normals = compare_maps({"depth": 1.5 * depth}, {"depth": depth, "normals": normals}, tolerance=1e-3)
    assert (of_depth.measure, of_depth[Figure.MOST], of_depth.limit(Figure.MOST)) == (
        Measure.ABSOLUTE_BELOW_ONE,
        0.5,
        1e-3,
    )
    assert (of_normals.measure, of_normals[Figure.MOST], of_normals.limit(Figure.MOST)) == (Measure.ANGLE, np.inf, 0.1)


def off_by(output: str, *, most: float, largest: float, tolerance: float) -> Difference:
    limits = equality_limits(tolerance, Measure.ANGLE if output == "normals" else Measure.ABSOLUTE_BELOW_ONE)
    figures = {Figure.LARGEST: largest, Figure.MOST: most, Figure.MEAN: most}
    return Difference(output=output, case="", measure=limits.measure, figures=figures, limits=limits.most)


def test_excess_names_the_output_that_is_off_the_most_by_its_own_limit():
    words = "depth differs by 5.0e-03 (largest 6.0e-03), accepted 1e-03"
    for accepted, expected in ((1e-3, words), (1e-2, None)):
        differences = [
            off_by("depth", most=5e-3, largest=6e-3, tolerance=accepted),
            off_by("normals", most=0.2, largest=0.3, tolerance=accepted),
        ]
        assert describe_excess(differences) == expected


def test_table_is_aligned_and_states_ratios_and_refusals():
    refused = [Refusal(label="other, fp32, cpu", reason="depth differs by 1", differs=True)]
    compared = dataclasses.replace(a_report().comparisons[0], refused=refused)
    title, heads, plain, fast, slow, refusal = table.comparison_table(compared).splitlines()
    assert (
        title == "tiny at 56x84, CPU: depth; 2 threads, 1 rounds in turn; 50 GFLOP in PyTorch, at most 0.5 TFLOP/s here"
    )
    ends = [heads.index("ratio") + len("ratio"), heads.index("p50 ms") + len("p50 ms")]
    for line, ratio, p50 in ((plain, "1", "200"), (fast, "0.50", "100"), (slow, "2.00", "400")):
        assert [line[:end].split()[-1] for end in ends] == [ratio, p50]
    assert "0.50-0.50" in fast
    assert refusal == "  refused: other, fp32, cpu: depth differs by 1"


def test_reduced_precisions_of_stand_in_weights_come_with_a_note():
    compared = a_report().comparisons[0]
    assert table.STAND_IN_NOTE not in table.comparison_table(compared)
    timed = [*compared.timed, figures("int8", [50.0], [200.0], precision="int8", stand_in_weights=True)]
    assert table.STAND_IN_NOTE in table.comparison_table(dataclasses.replace(compared, timed=timed))


def test_milliseconds_have_three_digits():
    assert [table.format_ms(value) for value in (1234.4, 99.94, 9.994, 0.031)] == ["1234", "99.9", "9.99", "0.03"]


def width_of(picture, rgb):
    """Return the longest run of a colour's pixels in a row."""
    return int((picture == rgb).all(axis=2).sum(axis=1).max())


def test_bars_are_as_long_as_the_times_they_stand_for():
    picture = draw_report(a_report())
    assert picture.shape[1:] == (WIDTH, 3)
    slow = width_of(picture, SLOWER_RGB)
    assert slow > 400
    assert width_of(picture, BASELINE_RGB) == pytest.approx(slow / 2, abs=3)
    assert width_of(picture, FASTER_RGB) == pytest.approx(slow / 4, abs=3)


def test_bars_of_the_node_show_its_stages():
    task = NodeTask(model="m", provider="cpu", size_hw=(56, 84), threads=2, image_ms=9.0, seconds=1.0)
    times_ms = {"decode": 2.0, "prepare": 1.0, "infer": 50.0, "finish": 1.0, "cloud": 4.0, "outputs": 12.0}
    stages = {name: Summary.of([ms]) for name, ms in times_ms.items()}
    picture = draw_report(a_report(node_stages=[NodeStages(title="depth_node", task=task, stages=stages)]))
    total = WIDTH - 56 - 330
    for name, share in (("decode", 2 / 16), ("cloud", 4 / 16), ("other outputs", 8 / 16)):
        assert width_of(picture, STAGE_RGB[name]) == pytest.approx(share * total, abs=3), name


def node_stages(title):
    task = NodeTask(model="m", provider="cpu", size_hw=(56, 84), threads=2, image_ms=9.0, seconds=1.0)
    return NodeStages(title=title, task=task, stages={name: Summary.of([2.0]) for name in ("infer", "decode")})


def test_a_title_too_long_for_the_picture_is_cut_off():
    named = draw_report(a_report(node_stages=[node_stages("depth_node")]))
    long = draw_report(a_report(node_stages=[node_stages("depth_node with /a/folder " * 20)]))
    assert long.shape == named.shape
    assert (long[:, -20:] == long[0, 0]).all()
    assert (long != named).any()


def test_each_scenario_of_the_node_without_its_network_has_a_line():
    heights = []
    for scenarios in ([], ["vga"], ["vga", "1080p"]):
        facts = [NodeOverhead(scenario=name, seconds=1.0, text="", overhead_ms={"p50": 2.0}) for name in scenarios]
        empty = NodeOverhead(scenario="nothing came", seconds=1.0, text="", overhead_ms={})
        heights.append(draw_report(a_report(node_overhead=[*facts, empty])).shape[0])
    none, one, two = heights
    assert none == draw_report(a_report()).shape[0]
    assert none < one < two


def test_building_and_sending_are_told_apart_where_the_node_does():
    told_ms = {"points": [5.0, 7.0], "depth/image": [2.0, 3.0], "outputs": [6.0, 8.0]}
    assert name_stages(told_ms) == told_ms | {"cloud": [5.0, 7.0]}
    told_ms |= {"points build": [4.0, 4.0], "depth/image build": [0.5, 1.0]}
    named = name_stages(told_ms)
    assert (named["cloud"], named["publish"]) == ([4.0, 4.0], [2.5, 5.0])


def test_a_long_reason_is_wrapped_between_the_margins():
    compared = a_report().comparisons[0]
    refused = [Refusal(label="other", reason="word " * 200, differs=True)]
    taller = draw_report(a_report(comparisons=[dataclasses.replace(compared, refused=refused)]))
    lower, upper = taller.shape[0], draw_report(a_report()).shape[0]
    assert lower >= upper + 4 * 20
    assert (taller[:, -20:] == taller[0, 0]).all()


def test_report_is_json_and_knows_what_was_unequal():
    report = a_report()
    record = json.loads(report.to_json())
    assert record["comparisons"][0]["timed"][1]["ratio"] == {"pairs": 1, "median": 0.5, "low": 0.5, "high": 0.5}
    assert (report.timed_any, report.unequal) == (True, [])


def test_the_line_on_the_whole_node_is_read_from_what_its_benchmark_prints():
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    from metric3d_ros.bench.node.overhead import row

    text = f"vga: 640x480\n{row('node, without the network', [1.0, 2.0, 3.0])}\n{row('  decode', [0.1])}"
    assert read_overhead_ms(text) == {"p50": 2.0, "p95": 2.9, "max": 3.0}
    assert read_overhead_ms("nothing came") == {}


def test_a_busy_machine_is_told():
    calm, busy = a_report(), a_report()
    busy.machine = calm.machine | {"busy_percent": 60.0}
    assert not any("BUSY" in line for line in describe_setting(calm))
    assert any("BUSY: other programs took 60 %" in line for line in describe_setting(busy))


def test_machine_and_versions_are_those_of_this_process():
    facts, versions = machine.describe_machine(), machine.describe_versions()
    assert facts["cpu"]
    assert facts["cores"] == machine.usable_cores() >= 1
    assert 0 <= facts["busy_percent"] <= 100
    assert versions["numpy"] == np.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_node_computes_in_what_its_model_was_timed_in(monkeypatch):
    asked = []

    def measure_node(task, *, title):
        asked.append((title, node_parameters(dataclasses.asdict(task))))
        raise InferenceError("not here")

    monkeypatch.setattr(cli, "measure_node", measure_node)
    for computed_in in ("", "bf16"):
        timed = [figures("plain", [2.0]), figures("fast", [1.0], [2.0], provider="openvino", computed_in=computed_in)]
        compared = dataclasses.replace(a_report().comparisons[0], timed=timed)
        cli._measure_stages(a_report(comparisons=[compared]), seconds=1.0, log=lambda text: None)
    (plain_title, plain), (title, reduced) = asked
    assert "openvino.precision" not in plain
    assert "bf16" not in plain_title
    assert reduced["openvino.precision"] == "bf16"
    assert "fp32 in bf16, openvino" in title
