"""What `metric3d run` states at its end: frames done, left out by which option, and failed for which reason."""

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from made_bags import DELAY_NS, stamps, write_ros2

import metric3d_ros
from metric3d_ros.cli import main

COUNT, FOCAL = 12, 70


@pytest.fixture
def run(model, tmp_path, capsys):
    """Run with words; return the exit status and what was printed."""

    def run(*words, out="out"):
        options = ["-o", tmp_path / out, "--model", model, "--provider", "cpu", "--threads", "1"]
        status = main(["run", *map(str, [*words, *options])])
        return status, capsys.readouterr().out

    return run


@pytest.mark.parametrize("chunk", [1, 2, 5, 64])
def test_fps_takes_the_same_images_of_each_camera_whatever_the_chunks(run, tmp_path, chunk):
    bag = write_ros2(tmp_path / "drive", COUNT, cameras=("/front", "/rear"))
    status, text = run(bag, "--fps", 4, "--chunk", chunk)
    assert status == 0
    # 0.1 s apart; ticks of 0.25 s begin at 0, 0.3, 0.5, 0.8 and 1 s.
    first_ns = stamps(COUNT)[0] + DELAY_NS
    taken = sorted(path.stem for path in (tmp_path / "out/drive/png16/front_image_raw").iterdir())
    times = [int(name.replace(".", "")) - first_ns for name in taken]
    assert times == [0, 300_000_000, 500_000_000, 800_000_000, 1_000_000_000]
    assert len(list((tmp_path / "out/drive/png16/rear_image_raw").iterdir())) == 5
    assert "10 frames in" in text
    assert "left out: 14 by --fps" in text


def test_what_options_leave_out_is_counted_by_the_option(run, tmp_path):
    bag = write_ros2(tmp_path / "drive", COUNT)
    status, text = run(bag, "--start", 0.15, "--end", 0.95, "--every", 3)
    assert (status, "3 frames in" in text) == (0, True)
    assert "left out: 5 by --every, 4 by --start and --end" in text
    status, text = run(bag, "--limit", 5, out="limited")
    assert (status, "left out: about 7 by --limit" in text) == (0, True)
    status, text = run(bag, "--limit", 8, "--resume", out="limited")
    assert (status, "3 frames in" in text, "5 were there already" in text) == (0, True, True)
    assert "left out: about 4 by --limit" in text
    status, text = run(bag, "--resume", out="limited")
    assert (status, "left out" in text) == (0, False)


def test_failures_are_counted_by_their_kind(run, folder):
    (folder / "view_1.png").write_bytes((folder / "view_1.png").read_bytes()[:500])
    status, text = run(folder)
    assert (status, "3 failed (2 no camera, 1 corrupt)" in text) == (1, True)
    status, text = run(folder, "--focal", FOCAL, "--every", 2, out="other")
    assert (status, "left out: 1 by --every" in text) == (0, True)


def test_frames_take_the_options_of_a_run(tmp_path):
    bag = write_ros2(tmp_path / "drive", COUNT)

    def numbers(**options):
        return [round((frame.stamp_ns - stamps(1)[0]) / 1e8) for frame in metric3d_ros.frames(bag, **options)]

    assert numbers() == list(range(COUNT))
    assert numbers(start_s=0.15, end_s=0.55) == [2, 3, 4, 5]
    assert numbers(every=5) == [0, 5, 10]
    assert numbers(fps=2) == [0, 5, 10]
    assert np.diff(numbers(fps=4, start_s=0.25)).min() >= 2
