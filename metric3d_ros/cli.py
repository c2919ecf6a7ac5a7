"""`metric3d`: one command, one verb per job; each verb lives in a module of its own and is loaded when it is used."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from metric3d_ros import __version__
from metric3d_ros.interruption import Interruptible
from metric3d_ros.program import program


@dataclass(frozen=True)
class Verb:
    """A verb: the module with its `add_arguments(parser)` and `run(args) -> int`, one line of help, and its extra."""

    module: str
    help: str
    extra: str | None = None


VERBS = {
    "bench": Verb("metric3d_ros.bench.cli", "time models and the node on this machine, against baselines"),
    "check-camera": Verb("metric3d_ros.commands.check_camera", "check a calibration file or topic for doubtful values"),
    "demo": Verb(
        "metric3d_ros.demo.cli", "run the node on a camera flight through a rendered scene, or on your images"
    ),
    "evaluate": Verb("metric3d_ros.evaluation.cli", "measure a model's accuracy on scenes or images with known depth"),
    "export": Verb("metric3d_export.cli", "turn published weights into a verified ONNX file", "export"),
    "fetch": Verb("metric3d_ros.commands.fetch", "download and assemble a published model ahead of time"),
    "health": Verb("metric3d_ros.nodes.health_check", "check whether depth_node works, for containers and supervisors"),
    "info": Verb("metric3d_ros.commands.info", "print what a model file is and where its weights come from"),
    "models": Verb("metric3d_ros.commands.models", "list the published models, and where they are stored"),
    "run": Verb("metric3d_ros.runs.cli", "compute depth, clouds and bags from images, videos and bags, without ROS"),
    "view": Verb("metric3d_ros.nodes.view", "watch image, depth, normals and cloud topics in Rerun", "viewer"),
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the verbs' names; a verb's own arguments are added once it is chosen."""
    parser = argparse.ArgumentParser(
        prog="metric3d", description="Metric depth, surface normals and point clouds from one camera."
    )
    parser.add_argument("--version", action="version", version=f"metric3d_ros {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.help, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status.

    0 done, 1 failed with one line of reason, 2 misused, 130 interrupted, 141 if nobody reads the output any more.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = make_parser().parse_known_args(words[:1])[0].verb
    return program(f"metric3d {name}")(_run_verb)(name, words[1:])


def _run_verb(name: str, words: Sequence[str]) -> int:
    verb = VERBS[name]
    try:
        module = importlib.import_module(verb.module)
    except ImportError as error:
        extra = f": install it with `pip install '.[{verb.extra}]'` in the source folder" if verb.extra else ""
        print(f"metric3d {name}: {error.name or error} is not installed{extra}", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(prog=f"metric3d {name}", description=verb.help[0].upper() + verb.help[1:] + ".")
    module.add_arguments(parser)
    args = parser.parse_args(words)
    with Interruptible():
        return int(module.run(args))


if __name__ == "__main__":
    sys.exit(main())
