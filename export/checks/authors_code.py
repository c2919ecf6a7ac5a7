"""The authors' own code, loaded through torch.hub and compared with our network, output by output."""

import contextlib
import http.client
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from metric3d_export.checks.verify import measure
from metric3d_export.network.prediction import Prediction
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.progress import Progress
from metric3d_ros import model_contract
from metric3d_ros.comparison.differences import Difference
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.errors import ConfigurationError, ExportError
from metric3d_ros.files.boundary import MOST_TEXT_BYTES
from metric3d_ros.files.paths import user_path
from metric3d_ros.hub.redirects import RedirectRefusedError, Redirects

COMPARED_SIZES_IN_MULTIPLES = ((3, 5), (5, 3), (4, 9))
"""Heights and widths of the compared images, as multiples of the variant's own."""

_AUTHORS_PACKAGES = "mmengine, mmcv below 2, timm and torchvision"
_GITHUB_API = "https://api.github.com"
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class AuthorsNetwork:
    """The authors' network, and the origin of its code."""

    network: nn.Module
    origin: str
    """OWNER/NAME@COMMIT or FOLDER@COMMIT, `-dirty` if files differ from it; FOLDER if git finds no commit."""


def load_authors_network(directory_or_repository: str, network: DepthNetwork) -> AuthorsNetwork:
    """Return the authors' network with the weights of ours. Runs their code.

    A branch or tag on GitHub is resolved to its commit first, and that commit is loaded: what is compared is what
    `origin` states, not what torch.hub kept of the branch at an earlier time.

    Args:
        directory_or_repository: a folder with their hubconf.py, or OWNER/NAME[:REF] on GitHub.
        network: ours, whose variant and weights are taken.

    Raises:
        ConfigurationError: there is no such folder or repository, or it lacks the variant.
        ExportError: GitHub does not return the commit, or their code cannot be loaded, or has parameters that ours does
            not have.
    """
    folder = Path(directory_or_repository)
    try:
        folder = user_path(folder)
        local = folder.is_dir()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        local = False
    repository, _, ref = directory_or_repository.partition(":")
    if not local and re.fullmatch(r"[\w-]+/[\w.-]+", repository, re.ASCII) is None:
        raise ConfigurationError(
            f"--torch-hub {directory_or_repository} is not a folder: name one with a hubconf.py, or a GitHub "
            "repository such as yvanyin/metric3d"
        )
    if local and not (folder / "hubconf.py").is_file():
        raise ConfigurationError(f"--torch-hub {folder} has no hubconf.py: name the folder of the authors' repository")
    entry = f"metric3d_{network.variant.name}"
    if local:
        commit = _folder_commit(folder)
        place, origin = str(folder), f"{directory_or_repository}@{commit}" if commit else directory_or_repository
    else:
        commit = _github_commit(repository, ref)
        place, origin = f"{repository}:{commit}", f"{repository}@{commit}"
    try:
        with _cuda_is_cpu(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what their code imports, about the names it imports it by
            authors = torch.hub.load(
                place,
                entry,
                source="local" if local else "github",
                trust_repo=True,  # the user consents by naming it
                # It would look for the commit among the newest of each branch only, to refuse those of forks. A full
                # hash names its code whoever's it is, and asks the network for nothing that torch.hub has already.
                skip_validation=not local,
                pretrain=False,
            )
    except ImportError as error:
        raise ExportError(
            f"the code in {directory_or_repository} needs {error.name or _in_one_line(error)}, which is not installed: "
            f"install it (the authors' own needs {_AUTHORS_PACKAGES})"
        ) from error
    except (Exception, SystemExit) as error:  # it is others' code: it may raise anything
        raise ExportError(
            f"{entry} of {directory_or_repository} cannot be loaded ({_in_one_line(error)}): check the name, the "
            f"connection, that it has this entry, and that what it needs is installed (the authors' own needs "
            f"{_AUTHORS_PACKAGES})"
        ) from error
    if not isinstance(authors, nn.Module):
        raise ExportError(
            f"{entry} of {directory_or_repository} returns a {type(authors).__name__}, not a network: check that it is "
            "the authors' repository"
        )
    _load_weights(authors, network)
    return AuthorsNetwork(authors.eval(), origin)


def _folder_commit(folder: Path) -> str | None:
    """Return the commit of a git working tree, marked if files differ from it; None if there is none."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S).stdout.strip()

    try:
        if not Path(git("rev-parse", "--show-toplevel")).samefile(folder):
            return None  # a folder in another project's working tree
        # Untracked code counts as a difference; files that running it leaves behind do not.
        changed = git("status", "--porcelain", "--untracked-files=no") or git(
            "ls-files", "--others", "--exclude-standard", "*.py"
        )
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError, ValueError):  # no git, no working tree, or a path that is no text
        return None


def _github_commit(repository: str, ref: str) -> str:
    """Return the commit that a ref of OWNER/NAME stands for now; that of its default branch if `ref` is empty."""
    if re.fullmatch("[0-9a-f]{40}", ref):
        return ref
    request = urllib.request.Request(
        f"{_GITHUB_API}/repos/{repository}/commits/{urllib.parse.quote(ref or 'HEAD', safe='')}",
        headers={"Accept": "application/vnd.github+json"},
    )
    if token := os.environ.get("GITHUB_TOKEN"):  # as torch.hub reads it
        request.add_header("Authorization", f"Bearer {token}")
    try:
        # A redirect to another address must not receive the token.
        opener = urllib.request.build_opener(Redirects(request.full_url))
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            commit = str(json.loads(answer.read(MOST_TEXT_BYTES))["sha"])
        if not re.fullmatch("[0-9a-f]{40}", commit):
            raise ValueError(f"{commit!r} is not a commit hash")
        return commit
    except urllib.error.HTTPError as error:
        if error.code in (404, 422):
            raise ConfigurationError(
                f"GitHub has no {ref or 'commit'} in {repository}, or shows it to its members only: check both names, "
                "set GITHUB_TOKEN for a private repository, or name a folder with its files"
            ) from error
        reason = f"HTTP {error.code} {' '.join(str(error.reason).split())}"
        if error.code in (401, 403, 429):
            reason += ": set GITHUB_TOKEN to a valid token, since without one it answers a few questions an hour only"
    except (OSError, RedirectRefusedError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        reason = _in_one_line(error.reason if isinstance(error, urllib.error.URLError) else error)
    raise ExportError(
        f"GitHub did not return the commit of {ref or 'the default branch'} of {repository} ({reason}): try again "
        f"later, name the commit's full hash ({repository}:HASH), or a folder with their files"
    )


def _load_weights(authors: nn.Module, network: DepthNetwork) -> None:
    state = network.state_dict()
    theirs = {name: tuple(tensor.shape) for name, tensor in authors.state_dict().items()}
    ours = {name: tuple(tensor.shape) for name, tensor in state.items()}
    different = sorted(
        name
        for name in theirs.keys() | ours.keys()
        if theirs.get(name) != ours.get(name) and name not in network.variant.unread_parameters
    )
    if different:
        name = different[0]
        raise ExportError(
            f"the authors' network and ours differ in {len(different)} parameters: {name} is {theirs.get(name)} there "
            f"and {ours.get(name)} here; report it with the commit of their code"
        )
    authors.load_state_dict(state, strict=False)


def compare_with_authors(
    network: DepthNetwork,
    authors: nn.Module,
    *,
    sizes_in_multiples: Sequence[tuple[int, int]] = COMPARED_SIZES_IN_MULTIPLES,
    progress: Progress,
) -> list[Difference]:
    """Run both networks on one image of each size and return how far each output of ours is from theirs.

    Raises ExportError if their code fails, or returns an output that ours lacks, or lacks one that ours returns.
    """
    differences = []
    for seed, (rows, columns) in enumerate(sizes_in_multiples):
        height, width = rows * network.variant.size_multiple, columns * network.variant.size_multiple
        progress.stage(f"running the authors' code and ours on {height} x {width}")
        rgb = torch.from_numpy(sample_image(height, width, seed=seed)).permute(2, 0, 1)[None].float()
        image = network.normalise(rgb)
        with torch.inference_mode():
            found = _arrays(network(image))
            expected = _arrays(_predict(authors, image))
        if found.keys() != expected.keys():
            raise ExportError(
                f"the authors' code returns {', '.join(expected)}, ours {', '.join(found)}: check that both are of "
                f"{network.variant.name}"
            )
        differences += [measure(name, f"{height} x {width}", found[name], expected[name]) for name in expected]
    return differences


def _predict(authors: nn.Module, image: Tensor) -> Prediction:
    try:
        with _cuda_is_cpu():
            depth, confidence, outputs = authors.inference({"input": image})
            normal = outputs.get("prediction_normal")  # (N, 4, H, W): the normal, then its confidence
            if normal is None:
                return Prediction(depth[:, 0], confidence[:, 0], None, None)
            return Prediction(depth[:, 0], confidence[:, 0], normal[:, :3], normal[:, 3])
    except (Exception, SystemExit) as error:  # it is others' code: it may raise anything
        size = " x ".join(map(str, image.shape[2:]))
        raise ExportError(
            f"the authors' code fails on a {size} image ({_in_one_line(error)}): try the commit that their checkpoints "
            "were published with"
        ) from error


def _arrays(prediction: Prediction) -> dict[str, np.ndarray]:
    """Return the outputs by the contract's names and in its layout."""
    arrays = {
        model_contract.DEPTH: prediction.depth.numpy(),
        model_contract.CONFIDENCE: prediction.confidence.numpy(),
    }
    if prediction.normal is not None and prediction.normal_confidence is not None:
        arrays[model_contract.NORMAL] = prediction.normal.permute(0, 2, 3, 1).numpy()
        arrays[model_contract.NORMAL_CONFIDENCE] = prediction.normal_confidence.numpy()
    return arrays


def _in_one_line(error: object) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextlib.contextmanager
def _cuda_is_cpu() -> Iterator[None]:
    """Let code that names the device "cuda" in so many words, as the authors' does, run on a machine without one."""
    if torch.cuda.is_available():
        yield
        return
    with _CudaIsCpu():
        yield


class _CudaIsCpu(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function is Tensor.cuda:
            return args[0]
        if _names_cuda(kwargs.get("device")):
            kwargs["device"] = "cpu"
        if function is Tensor.to:
            args = (args[0], *("cpu" if _names_cuda(value) else value for value in args[1:]))
        return function(*args, **kwargs)


def _names_cuda(value: object) -> bool:
    return isinstance(value, str | torch.device) and str(value).startswith("cuda")
