"""`metric3d run` from and to URLs: memory://, file:// and s3:// of a local server; whole files only, and resumable."""

import json
import shutil
import sys
import tempfile
import uuid

import pytest

pytest.importorskip("upath", reason="universal_pathlib is not installed: pip install 'metric3d_ros[remote]'")
pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from made_bags import CompressionMode, StoragePlugin, write_ros1, write_ros2
from rosbags.highlevel import AnyReader
from stand_ins import raising

import metric3d_ros
from metric3d_ros.cli import main
from metric3d_ros.errors import DataError
from metric3d_ros.files.remote import hold_url_at_once, path_of
from metric3d_ros.runs.outputs.remote_folder import RemoteFolder

COUNT, FOCAL = 6, 70


@pytest.fixture(params=["memory", "file", "s3"])
def base(request, tmp_path):
    """A URL that nothing is at."""
    name = uuid.uuid4().hex
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{name}"
    return f"memory://{name}" if request.param == "memory" else f"file://{tmp_path}/at a url".replace(" ", "%20")


def run(model, *words):
    return main(["run", *map(str, words), "--model", str(model), "--provider", "cpu", "--threads", "1"])


def put(local, url):
    """Copy a file or a folder of files to a URL."""
    for file in sorted(local.rglob("*")) if local.is_dir() else [local]:
        target = path_of(url) / file.relative_to(local) if local.is_dir() else path_of(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def get(url, local):
    """Copy everything at a URL into a folder."""
    local.mkdir()
    for file in path_of(url).rglob("*"):
        if file.is_file():
            target = local / str(file)[len(str(path_of(url))) :].strip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return local


def messages_of(bag):
    with AnyReader([bag]) as reader:
        return [(c.topic, t, bytes(data)) for c, t, data in reader.messages()]


def frames_of(out):
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return [line["frame"] for line in lines if "frame" in line]


def test_a_run_from_url_to_url_writes_what_a_local_one_does(model, base, tmp_path):
    bag = write_ros2(tmp_path / "drive", COUNT)
    put(bag, f"{base}/drive")
    words = ("--write", "bag,png16,html,video", "--chunk", 2)
    assert run(model, bag, "-o", tmp_path / "local", *words) == 0
    assert run(model, f"{base}/drive", "-o", f"{base}/out", *words) == 0
    out = get(f"{base}/out", tmp_path / "remote")
    assert frames_of(out) == frames_of(tmp_path / "local")
    assert messages_of(out / "drive/bag") == messages_of(tmp_path / "local/drive/bag")
    for name in ("index.html", "drive/drive.mp4", *(f"drive/png16/{frame}.png" for frame in frames_of(out))):
        assert (out / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
    assert not (out / ".parts").exists()


FORMS = {
    "sqlite3": lambda path: write_ros2(path, storage=StoragePlugin.SQLITE3),
    "zstd by file": lambda path: write_ros2(path, storage=StoragePlugin.SQLITE3, compression=CompressionMode.FILE),
    "a single mcap": lambda path: write_ros2(path) / f"{path.name}.mcap",
    "ROS 1": lambda path: write_ros1(path.with_suffix(".bag")),
}


@pytest.mark.parametrize("form", FORMS)
def test_bags_of_all_forms_are_read_from_a_store(s3, tmp_path, form):
    bag = FORMS[form](tmp_path / "drive")
    url = f"{s3}/{uuid.uuid4().hex}/{bag.name}"
    put(bag, url)
    there, here = list(metric3d_ros.frames(url)), list(metric3d_ros.frames(bag))
    assert len(there) == len(here) == COUNT
    for a, b in zip(there, here, strict=True):
        assert (a.key, a.stamp_ns, a.focal_from, a.rgb.tobytes()) == (b.key, b.stamp_ns, b.focal_from, b.rgb.tobytes())


def test_pictures_and_videos_are_read_from_urls(model, folder, base, tmp_path):
    put(folder, f"{base}/pictures")
    assert run(model, folder, "-o", tmp_path / "out", "--focal", FOCAL, "--write", "video") == 0
    put(tmp_path / "out/pictures/pictures.mp4", f"{base}/clip.mp4")
    for here, there in (
        (folder, f"{base}/pictures"),
        (folder, f"{base}/pictures/*.png"),
        (folder / "view_1.png", f"{base}/pictures/view_1.png"),
        (tmp_path / "out/pictures/pictures.mp4", f"{base}/clip.mp4"),
    ):
        mine = [frame.rgb.tobytes() for frame in metric3d_ros.frames(here, focal_px=FOCAL)]
        assert [frame.rgb.tobytes() for frame in metric3d_ros.frames(there, focal_px=FOCAL)] == mine, there


def test_an_interrupted_run_at_a_url_is_resumed_without_doing_anything_twice(model, base, tmp_path, capsys):
    bag = write_ros2(tmp_path / "drive", COUNT)
    words = (bag, "-o", f"{base}/out", "--write", "bag,png16,video", "--outputs", "depth,points", "--chunk", 2)
    assert run(model, *words, "--limit", 3) == 0
    first = frames_of(get(f"{base}/out", tmp_path / "first"))
    assert len(first) == 3
    assert run(model, *words, "--limit", 3) == 1
    assert "holds a run already: give --resume" in capsys.readouterr().err
    assert run(model, *words, "--resume") == 0
    out = get(f"{base}/out", tmp_path / "remote")
    frames = frames_of(out)
    assert frames[:3] == first
    assert len(frames) == len(set(frames)) == COUNT
    assert run(model, bag, "-o", tmp_path / "local", "--write", "bag", "--outputs", "depth,points") == 0
    assert messages_of(out / "drive/bag") == messages_of(tmp_path / "local/drive/bag")


def test_a_run_at_a_url_retries_what_failed_and_starts_over_if_nothing_was_done(model, folder, base, tmp_path):
    words = (folder, "-o", f"{base}/out", "--write", "png16,bag,video", "--outputs", "depth", "--chunk", 2)
    assert run(model, *words) == 1  # no focal length
    whole = (folder / "view_1.png").read_bytes()
    (folder / "view_1.png").write_bytes(whole[:500])
    assert run(model, *words, "--focal", FOCAL) == 1
    (folder / "view_1.png").write_bytes(whole)
    assert run(model, *words, "--focal", FOCAL, "--resume") == 0
    assert run(model, folder, "-o", tmp_path / "local", "--focal", FOCAL, *words[3:]) == 0
    out = get(f"{base}/out", tmp_path / "remote")
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines if "files" in line] == ["view_0", "view_2", "view_1"]
    assert sorted(messages_of(out / "pictures/bag")) == sorted(messages_of(tmp_path / "local/pictures/bag"))
    assert (out / "pictures/pictures.mp4").stat().st_size > 0


@pytest.mark.parametrize("base", ["s3"], indirect=True)
def test_the_lines_of_two_processes_at_one_url_do_not_replace_each_other(tmp_path, base):
    both = [RemoteFolder(path_of(f"{base}/out")) for _ in range(2)]
    for number, folder in enumerate(both):
        folder.add_lines(f"{number}\n")
    both[0].restore(tmp_path)
    assert sorted((tmp_path / "manifest.jsonl").read_text().split()) == ["0", "1"]


@pytest.mark.parametrize("base", ["memory", "s3"], indirect=True)
def test_a_file_that_is_gone_before_it_is_uploaded_is_named(tmp_path, base):
    folder, part = RemoteFolder(path_of(f"{base}/out")), tmp_path / "settings"
    part.mkdir()
    with pytest.raises(DataError, match=r"settings/run\.json is gone, which was to be uploaded: .* --resume"):
        folder.keep_settings(part)


def test_a_run_into_the_memory_of_this_process_warns_that_its_results_will_be_lost(model, folder, capsys):
    url = f"memory://{uuid.uuid4().hex}"
    assert run(model, folder, "-o", url, "--focal", FOCAL) == 0
    assert f"{url} lasts as long as this process: to keep the results, give a folder" in capsys.readouterr().err


def test_what_a_broken_connection_interrupts_is_uploaded_again(model, s3, tmp_path, monkeypatch, capsys):
    bag, out = write_ros2(tmp_path / "drive", COUNT), f"{s3}/{uuid.uuid4().hex}"
    words = (bag, "-o", out, "--write", "bag,png16", "--outputs", "depth,points", "--chunk", 2)
    add_lines, calls = RemoteFolder.add_lines, []

    def break_once(self, text):
        calls.append(text)
        if len(calls) == 2:
            raise ConnectionError("connection reset by peer")
        add_lines(self, text)

    monkeypatch.setattr(RemoteFolder, "add_lines", break_once)
    assert run(model, *words) == 1
    assert "run again with --resume" in capsys.readouterr().err
    (added,) = path_of(f"{out}/.manifest").iterdir()
    assert added.name.startswith("00000000_")
    assert run(model, *words, "--resume") == 0
    assert run(model, bag, "-o", tmp_path / "local", "--write", "bag", "--outputs", "depth,points") == 0
    whole = get(out, tmp_path / "whole")
    assert messages_of(whole / "drive/bag") == messages_of(tmp_path / "local/drive/bag")
    listed = {path.name for path in (whole / "drive/bag").glob("*.mcap")}
    assert len(listed) == 3


def test_storage_files_that_no_manifest_lists_are_removed(model, base, tmp_path):
    bag = write_ros2(tmp_path / "drive", COUNT)
    stray = path_of(f"{base}/out/drive/bag/drive_00000_7.mcap")
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"of a process that was killed")
    assert run(model, bag, "-o", f"{base}/out", "--write", "bag", "--chunk", 2) == 0
    # A local folder's strays are found by write_metadata, those of a store by its listing.
    names = {path.name for path in path_of(f"{base}/out/drive/bag").iterdir() if path.suffix == ".mcap"}
    assert names == {f"drive_{number:05d}.mcap" for number in range(3)}


def test_two_runs_at_one_url_are_refused(model, folder, s3, capsys):
    url = f"{s3}/{uuid.uuid4().hex}"
    with hold_url_at_once(url):
        assert run(model, folder, "-o", url, "--focal", FOCAL) == 1
    assert f"another process works on the run in {url}" in capsys.readouterr().err
    assert run(model, folder, "-o", url, "--focal", FOCAL) == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("s3://no-such-bucket/drive.mcap", "-o", "OUT"), "s3://no-such-bucket/drive.mcap"),
        (
            ("PICTURES", "-o", "s3://no-such-bucket/out"),
            "cannot write s3://no-such-bucket/out: not found (The specified bucket does not exist); check",
        ),
        (("nosuch://drive.mcap", "-o", "OUT"), "nosuch://drive.mcap cannot be opened"),
        (("PICTURES", "-o", "nosuch://out"), "give a path, or a URL such as s3://BUCKET/FOLDER"),
    ],
)
def test_what_is_not_there_gives_one_line(model, folder, s3, tmp_path, capsys, words, reason):
    named = {"OUT": tmp_path / "out", "PICTURES": folder}
    assert run(model, *(named.get(word, word) for word in words), "--focal", FOCAL) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert "Traceback" not in error


def test_urls_without_the_extra_name_it(model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "upath", None)
    for words in (("s3://drives/a.mcap", "-o", tmp_path), (folder, "-o", "s3://drives/out")):
        assert run(model, *words, "--focal", FOCAL) == 1
        assert "URLs need fsspec: pip install '.[remote]'" in capsys.readouterr().err


def test_the_memory_of_this_process_is_refused_on_ray(model, folder, capsys):
    url = f"memory://{uuid.uuid4().hex}"
    assert run(model, folder, "-o", url, "--focal", FOCAL, "--ray", "local") == 1
    assert "which no worker sees: leave out --ray" in capsys.readouterr().err
    shutil.rmtree(folder)


@pytest.mark.parametrize("damaged", ["run.json", "lines"])
def test_what_is_wrong_with_a_run_is_named_at_its_url(model, folder, base, damaged, capsys):
    words = (folder, "-o", f"{base}/out", "--focal", FOCAL)
    assert run(model, *words) == 0
    lines = "manifest.jsonl" if base.startswith("file") else ".manifest/00000099.jsonl"
    path_of(f"{base}/out/{lines if damaged == 'lines' else damaged}").write_bytes(b"[1]\n")
    assert run(model, *words, "--resume") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"{path_of(f'{base}/out')}/{'run.json' if damaged == 'run.json' else 'manifest.jsonl, line '}" in error


def test_options_that_differ_are_named_with_the_url(model, folder, base, capsys):
    words = (folder, "-o", f"{base}/out")
    assert run(model, *words, "--focal", FOCAL) == 0
    assert run(model, *words, "--focal", FOCAL + 1, "--resume") == 1
    assert f"the run of {path_of(f'{base}/out/run.json')} was begun with other" in capsys.readouterr().err


def test_a_part_of_a_bag_that_is_gone_from_a_store_is_named(model, s3, tmp_path, capsys):
    url = f"{s3}/{uuid.uuid4().hex}/out"
    words = (write_ros2(tmp_path / "drive", COUNT), "-o", url, "--write", "bag", "--outputs", "depth", "--chunk", 2)
    assert run(model, *words) == 0
    path_of(f"{url}/drive/bag/drive_00001.mcap").unlink()
    assert run(model, *words, "--resume") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"{url}/drive/bag/drive_00001.mcap is gone, which is a part of the bag: copy it back, or" in error


def test_a_full_temporary_folder_is_named_and_not_the_url(model, folder, tmp_path, monkeypatch, capsys):
    from metric3d_ros.runs.outputs import part_files

    monkeypatch.setattr(part_files, "write_depth", raising(OSError(28, "No space left on device")))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(model, folder, "-o", f"memory://{uuid.uuid4().hex}", "--focal", FOCAL) == 1
    assert f"metric3d run: {tmp_path}: No space left on device" in capsys.readouterr().err.splitlines()[-1]
