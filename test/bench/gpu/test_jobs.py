"""Which jobs a GPU report has, and in which order."""

import dataclasses
from pathlib import Path

import pytest

from metric3d_ros.bench.gpu import jobs
from metric3d_ros.bench.gpu.chips import find_peak
from metric3d_ros.engine import Tuning
from metric3d_ros.engine.providers import CONV_SEARCHES, CUDA_STAGING

WISH = jobs.Wish(
    variants=("vit_small", "vit_giant2"),
    sizes_hw=((616, 1064), (480, 640)),
    camera_hw=(1080, 1920),
    provider="cuda",
    pytorch=True,
    models=True,
    node=True,
    threads=8,
    seconds=3.0,
    folder=Path("models"),
)


def kinds(wish):
    return [job.kind for job in jobs.plan_jobs(wish)]


def test_times_of_the_first_model_come_before_its_pieces_and_the_giant_last():
    planned = jobs.plan_jobs(WISH)
    assert [job.kind for job in planned[:3]] == [jobs.SPEED, jobs.MAKE, jobs.TIME]
    assert [each["name"] for each in planned[2].arguments["members"]] == [
        "plain fp32",
        "optimised fp32",
        "optimised fp16",
        "PyTorch fp16",
    ]
    made = [i for i, job in enumerate(planned) if job.kind == jobs.MAKE]
    assert [planned[i].label for i in made] == ["vit_small", "vit_giant2"]
    assert "vit_giant2" not in str(planned[: made[1]])
    assert {job.kind for job in planned[made[1] :]} == {jobs.MAKE, jobs.TIME}


def test_no_model_is_timed_before_it_is_made():
    made = set()
    for job in jobs.plan_jobs(WISH):
        if job.kind == jobs.MAKE:
            variant = job.arguments["variant"]
            made |= {str(WISH.folder / f"{variant}-{name.replace(':', '-')}.onnx") for name in job.arguments["models"]}
        members = job.arguments.get("members", [job.arguments])
        used = {each["model"] for each in members if "model" in each and not each.get("in_pytorch")}
        assert used - made <= {"demo"}, job


def test_every_piece_is_measured_against_the_defaults_and_differs_from_them():
    pieces = {job.label: job for job in jobs.plan_jobs(WISH) if job.section.startswith("Pieces")}
    assert set(jobs.PIECES) < set(pieces)
    for name in jobs.PIECES:
        usual, changed = pieces[name].arguments["members"]
        assert usual["reference"]
        assert usual["repeated"]
        assert changed["name"] == name
        assert "tuning" not in usual
        assert changed.get("attention") == "function" or Tuning(**changed["tuning"]) != Tuning()


def test_values_of_pieces_are_ones_that_the_engine_has():
    tunings = [Tuning(**piece["tuning"]) for piece in jobs.PIECES.values() if "tuning" in piece]
    assert {each.cuda_staging for each in tunings} == set(CUDA_STAGING)
    assert {each.cuda_conv_search for each in tunings} == set(CONV_SEARCHES)


@pytest.mark.parametrize(
    ("without", "missing"),
    [
        ({"pytorch": False}, {jobs.SPEED}),
        ({"node": False}, {jobs.NODE}),
        ({"models": False, "pytorch": False}, {jobs.SPEED, jobs.MAKE, jobs.COMPARE}),
    ],
)
def test_what_is_not_here_is_not_planned(without, missing):
    assert set(kinds(WISH)) - set(kinds(dataclasses.replace(WISH, **without))) == missing


def test_without_pytorch_nothing_is_timed_in_it():
    planned = jobs.plan_jobs(dataclasses.replace(WISH, pytorch=False))
    assert not any(each.get("in_pytorch") for job in planned for each in job.arguments.get("members", []))


@pytest.mark.parametrize(
    ("name", "half"),
    [("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H100 PCIe", 756.0), ("NVIDIA H100 NVL", 835.0), ("NVIDIA H200", 989.4)],
)
def test_cards_of_one_chip_have_their_own_peaks(name, half):
    assert find_peak(name).half == half
    assert find_peak(name).single == half / 2
    assert find_peak("GeForce GT 710") is None
