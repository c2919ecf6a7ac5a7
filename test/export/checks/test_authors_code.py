"""Code from torch.hub is compared with our network output by output, and its failures are one line."""

import functools
import http.server
import io
import json
import shutil
import subprocess
import textwrap
import threading
import zipfile
from typing import ClassVar

import onnx
import pytest
import torch

from metric3d_export.checks import authors_code
from metric3d_export.checks.authors_code import compare_with_authors, load_authors_network
from metric3d_export.progress import Silence
from metric3d_ros.cli import main
from metric3d_ros.comparison.differences import Figure
from metric3d_ros.errors import ConfigurationError, ExportError

# The interface of the authors' hubconf.py, and how their code names the device.
HUBCONF = """
    dependencies = ["torch"]

    import torch
    from metric3d_export.network.variants import DepthNetwork, find_variant


    class Model(torch.nn.Module):
        def __init__(self, variant):
            super().__init__()
            self.depth_model = DepthNetwork(find_variant(variant)).depth_model
            EXTRA

        def inference(self, data):
            offset = torch.zeros(1, device="cuda").cuda().to("cuda")
            prediction = self.depth_model(data["input"])
            depth, confidence = prediction.depth[:, None] + offset, prediction.confidence[:, None]
            outputs = {"prediction": depth, "confidence": confidence}
            if prediction.normal is not None:
                outputs["prediction_normal"] = torch.cat(
                    [prediction.normal, prediction.normal_confidence[:, None]], dim=1
                )
            CHANGE
            return depth, confidence, outputs


    def metric3d_vit_demo(pretrain=False, **options):
        assert not pretrain
        return Model("vit_demo")
"""


@pytest.fixture
def make_folder(tmp_path):
    def make(*, change: str = "pass", extra: str = "pass") -> str:
        text = textwrap.dedent(HUBCONF).replace("CHANGE", change).replace("EXTRA", extra)
        (tmp_path / "hubconf.py").write_text(text)
        return str(tmp_path)

    return make


def test_the_same_network_agrees_in_every_output_at_every_size(make_folder, demo_network):
    authors = load_authors_network(make_folder(), demo_network)
    differences = compare_with_authors(demo_network, authors.network, progress=Silence())
    assert {(d.output, d.case) for d in differences} == {
        (output, size)
        for output in ("depth", "confidence", "normal", "normal_confidence")
        for size in ("84 x 140", "140 x 84", "112 x 252")
    }
    assert max(d[Figure.LARGEST] for d in differences) == 0


@pytest.mark.parametrize(
    ("change", "output"),
    [
        ("depth = depth * 1.01", "depth"),
        ("confidence = confidence.flip(-1)", "confidence"),
        ("outputs['prediction_normal'][:, 0] *= -1", "normal"),
        ("outputs['prediction_normal'][:, 3] += 0.1", "normal_confidence"),
    ],
)
def test_another_output_is_found_and_named(make_folder, demo_network, change, output):
    authors = load_authors_network(make_folder(change=change), demo_network)
    differences = compare_with_authors(demo_network, authors.network, sizes_in_multiples=[(2, 3)], progress=Silence())
    assert {d.output for d in differences if not d.acceptable} == {output}


def test_a_parameter_that_ours_lacks_is_named(make_folder, demo_network):
    folder = make_folder(extra="self.depth_model.more = torch.nn.Linear(2, 3)")
    with pytest.raises(
        ExportError, match=r"differ in 2 parameters: depth_model\.more\.bias is \(3,\) there and None here"
    ):
        load_authors_network(folder, demo_network)


def test_an_output_that_is_missing_is_named(make_folder, demo_network):
    authors = load_authors_network(make_folder(change="del outputs['prediction_normal']"), demo_network)
    with pytest.raises(ExportError, match="returns depth, confidence, ours depth, confidence, normal"):
        compare_with_authors(demo_network, authors.network, progress=Silence())


def test_code_that_fails_is_one_line(make_folder, demo_network):
    authors = load_authors_network(make_folder(change="raise IndexError('two\\nlines')"), demo_network)
    with pytest.raises(ExportError, match=r"fails on a 84 x 140 image.*IndexError: two lines") as error:
        compare_with_authors(demo_network, authors.network, progress=Silence())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("extra", ["import sys; sys.exit(0)", "raise KeyError('x')"])
def test_code_that_leaves_while_it_is_loaded_is_one_line(make_folder, demo_network, extra):
    with pytest.raises(ExportError, match=r"metric3d_vit_demo of .* cannot be loaded \((SystemExit: 0|KeyError: 'x')"):
        load_authors_network(make_folder(extra=extra), demo_network)


@pytest.mark.parametrize("change", ["return 1, 2, 3", "return depth, confidence, None", "import sys; sys.exit(0)"])
def test_outputs_that_are_none_are_one_line(make_folder, demo_network, change):
    authors = load_authors_network(make_folder(change=change), demo_network)
    with pytest.raises(ExportError, match="the authors' code fails on a 84 x 140 image"):
        compare_with_authors(demo_network, authors.network, progress=Silence())


def test_an_entry_that_is_no_network_is_refused(tmp_path, demo_network):
    (tmp_path / "hubconf.py").write_text("def metric3d_vit_demo(pretrain=False):\n    return {}\n")
    with pytest.raises(ExportError, match="returns a dict, not a network"):
        load_authors_network(str(tmp_path), demo_network)


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x", "a" * 300 + "/b/c", "a\0b"])
def test_names_that_can_be_no_folder_are_refused(demo_network, name):
    with pytest.raises(ConfigurationError, match="is not a folder: name one"):
        load_authors_network(name, demo_network)


def test_a_missing_package_is_named(make_folder, demo_network):
    with pytest.raises(ExportError, match="needs mmcv_of_old, which is not installed"):
        load_authors_network(make_folder(extra="import mmcv_of_old"), demo_network)


def test_a_missing_entry_is_named(make_folder, small_network):
    with pytest.raises(ExportError, match=r"metric3d_vit_small of .* cannot be loaded"):
        load_authors_network(make_folder(), small_network)


def test_a_folder_without_hubconf_is_refused(tmp_path, demo_network):
    with pytest.raises(ConfigurationError, match=r"has no hubconf\.py"):
        load_authors_network(str(tmp_path), demo_network)


def test_what_is_neither_folder_nor_repository_is_refused(demo_network):
    with pytest.raises(ConfigurationError, match="is not a folder: name one"):
        load_authors_network("nowhere", demo_network)


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def commit_all(folder) -> str:
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", folder, *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "code")
    return git("rev-parse", "HEAD")


@needs_git
def test_the_commit_of_a_folder_is_told_and_whether_files_differ_from_it(make_folder, tmp_path, demo_network):
    folder = make_folder()
    commit = commit_all(folder)
    assert load_authors_network(folder, demo_network).origin == f"{folder}@{commit}"
    code = tmp_path / "hubconf.py"
    before = code.read_text()
    code.write_text(before + "# changed\n")
    assert load_authors_network(folder, demo_network).origin == f"{folder}@{commit}-dirty"
    code.write_text(before)
    (tmp_path / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "__pycache__/layers.cpython-312.pyc").touch()  # what running it leaves behind is no change
    assert load_authors_network(folder, demo_network).origin == f"{folder}@{commit}"
    (tmp_path / "more.py").touch()
    assert load_authors_network(folder, demo_network).origin == f"{folder}@{commit}-dirty"


@needs_git
def test_a_folder_within_another_working_tree_has_no_commit(make_folder, tmp_path, demo_network):
    make_folder()
    commit_all(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    shutil.copy(tmp_path / "hubconf.py", inner)
    assert load_authors_network(str(inner), demo_network).origin == str(inner)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class GitHub(http.server.SimpleHTTPRequestHandler):
    """Answers as it does, but with `status` to whoever asks for a commit, and redirects what has `moved`."""

    status: int | None = None
    authorizations: ClassVar[list[str | None]] = []
    moved: ClassVar[dict[str, str]] = {}

    def do_GET(self):
        if "/commits/" in self.path:
            self.authorizations.append(self.headers["Authorization"])
        if self.status is not None and "/commits/" in self.path:
            self.send_error(self.status)
        elif self.path in self.moved:
            self.send_response(301)
            self.send_header("Location", self.moved[self.path])
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def github(make_folder, tmp_path, monkeypatch):
    """A server with a repository at one commit, as GitHub serves it: a folder whose files can be replaced."""
    root = tmp_path / "github"
    commits = root / "repos/yvanyin/metric3d/commits"
    (commits / "feature").mkdir(parents=True)
    for ref in ("HEAD", "feature/x"):
        (commits / ref).write_text(json.dumps({"sha": COMMIT}))
    (root / "archives").mkdir()
    archive = io.BytesIO()
    make_folder()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("YvanYin-Metric3D-0123456/", "")
        file.write(tmp_path / "hubconf.py", "YvanYin-Metric3D-0123456/hubconf.py")
    (root / "archives" / COMMIT).write_bytes(archive.getvalue())
    handler = functools.partial(GitHub, directory=root)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(authors_code, "_GITHUB_API", address)
        monkeypatch.setattr(
            authors_code.torch.hub, "_git_archive_link", lambda owner, name, ref: f"{address}/archives/{ref}"
        )
        yield root
        server.shutdown()


@pytest.mark.parametrize("named", ["yvanyin/metric3d", "yvanyin/metric3d:feature/x", f"yvanyin/metric3d:{COMMIT}"])
def test_a_repository_is_downloaded_at_one_commit_which_is_told(github, tmp_path, demo_network, named):
    authors = load_authors_network(named, demo_network)
    assert authors.origin == f"yvanyin/metric3d@{COMMIT}"
    assert (tmp_path / "torch/hub" / f"yvanyin_metric3d_{COMMIT}" / "hubconf.py").is_file()
    assert authors.network.state_dict().keys() == demo_network.state_dict().keys()


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "set GITHUB_TOKEN"), (403, "set GITHUB_TOKEN"), (429, "set GITHUB_TOKEN"), (500, "try again later")],
)
def test_what_torch_hub_kept_of_a_branch_does_not_stand_in_for_an_answer(
    github, tmp_path, monkeypatch, demo_network, status, advice
):
    kept = tmp_path / "torch/hub/yvanyin_metric3d_main"
    kept.mkdir(parents=True)
    shutil.copy(tmp_path / "hubconf.py", kept)
    monkeypatch.setattr(GitHub, "status", status)
    with pytest.raises(ExportError, match=rf"did not return the commit of main of .*HTTP {status}.*{advice}"):
        load_authors_network("yvanyin/metric3d:main", demo_network)


@pytest.mark.parametrize("answer", [b"{}", b"[1]", b"<html>", b'{"sha": "short"}', b'{"sha": 5}'])
def test_an_answer_without_a_commit_is_one_line(github, demo_network, answer):
    (github / "repos/yvanyin/metric3d/commits/main").write_bytes(answer)
    with pytest.raises(ExportError, match=r"did not return the commit of main .*name the commit's full hash") as error:
        load_authors_network("yvanyin/metric3d:main", demo_network)
    assert "\n" not in str(error.value)


def test_a_ref_that_github_finds_malformed_is_named_too(github, monkeypatch, demo_network):
    monkeypatch.setattr(GitHub, "status", 422)
    with pytest.raises(ConfigurationError, match="GitHub has no abc in yvanyin/metric3d"):
        load_authors_network("yvanyin/metric3d:abc", demo_network)


def test_the_token_is_shown_to_github(github, monkeypatch, demo_network):
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setattr(GitHub, "authorizations", [])
    load_authors_network("yvanyin/metric3d", demo_network)
    assert GitHub.authorizations == ["Bearer secret"]


def test_a_redirect_does_not_hand_the_token_on(github, monkeypatch, demo_network):
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setattr(GitHub, "authorizations", [])
    monkeypatch.setattr(GitHub, "moved", {"/repos/yvanyin/old/commits/HEAD": "/repos/yvanyin/metric3d/commits/HEAD"})
    assert load_authors_network("yvanyin/old", demo_network).origin == f"yvanyin/old@{COMMIT}"
    assert GitHub.authorizations == ["Bearer secret", None]


def test_a_ref_that_does_not_exist_is_named(github, demo_network):
    with pytest.raises(ConfigurationError, match=r"GitHub has no v9 in yvanyin/metric3d.*GITHUB_TOKEN"):
        load_authors_network("yvanyin/metric3d:v9", demo_network)


def test_a_commit_that_is_there_is_loaded_offline(github, monkeypatch, demo_network):
    load_authors_network(f"yvanyin/metric3d:{COMMIT}", demo_network)
    monkeypatch.setattr(authors_code, "_GITHUB_API", "http://127.0.0.1:9")
    monkeypatch.setattr(authors_code.torch.hub, "_git_archive_link", lambda *_: "http://127.0.0.1:9/archive")
    authors = load_authors_network(f"yvanyin/metric3d:{COMMIT}", demo_network)
    assert authors.origin == f"yvanyin/metric3d@{COMMIT}"
    with pytest.raises(ExportError, match=r"did not return the commit of the default branch .*Connection refused"):
        load_authors_network("yvanyin/metric3d", demo_network)


def test_the_file_says_which_commit_it_was_compared_with(github, tmp_path):
    output = tmp_path / "model.onnx"
    words = ["export", "vit_demo", "-o", str(output), "--stand-in-weights", "--torch-hub", "yvanyin/metric3d"]
    assert main([*words, "--no-benchmark"]) == 0
    properties = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
    assert properties["metric3d.authors_code"] == (
        f"yvanyin/metric3d@{COMMIT}: depth of this network at most 0.0e+00 from theirs, relative beyond 1 m"
    )


def test_without_cuda_its_name_means_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with authors_code._cuda_is_cpu():
        assert torch.arange(3, device="cuda").device.type == "cpu"
        assert torch.zeros(2, device=torch.device("cuda", 0)).cuda().to("cuda:0").device.type == "cpu"


@pytest.mark.parametrize(("change", "status"), [("pass", 0), ("depth = depth + 1", 1)])
def test_the_command_exports_only_what_agrees(make_folder, tmp_path, capsys, change, status):
    output = tmp_path / "model.onnx"
    words = ["export", "vit_demo", "-o", str(output), "--stand-in-weights", "--torch-hub", make_folder(change=change)]
    assert main(words) == status
    printed = capsys.readouterr()
    assert "compared with the authors' code" in printed.out
    assert output.exists() == (status == 0)
    if status:
        assert "the network differs from the authors' code: depth at" in printed.err
