"""The `qos.*` parameters: quality of service of all inputs and all outputs (`qos_overrides.*`: of single topics)."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameters.schema import parameter

BEST_EFFORT, RELIABLE = "best_effort", "reliable"


@dataclass(frozen=True, kw_only=True)
class QosParameters:
    """The parameters `qos.*`."""

    input_reliability: str = parameter(
        BEST_EFFORT,
        "How images and camera_info are received. best_effort hears every camera; reliable hears only those that "
        "publish reliably, and has lost images sent again.",
        choices=(BEST_EFFORT, RELIABLE),
        read_only=True,
    )
    input_depth: int = parameter(
        5,
        "How many images wait to be received while the machine is busy for a moment; only the newest is worked on, so "
        "more cost memory but no latency. What does not find room is lost, and counted as such in /diagnostics.",
        minimum=1,
        maximum=100,
        read_only=True,
    )
    output_reliability: str = parameter(
        RELIABLE,
        "How everything is published. reliable suits subscribers of both kinds; best_effort is not heard by reliable "
        "ones.",
        choices=(RELIABLE, BEST_EFFORT),
        read_only=True,
    )
    output_depth: int = parameter(
        2,
        "How many messages of each output are kept for a subscriber that is slow to take them.",
        minimum=1,
        maximum=100,
        read_only=True,
    )
