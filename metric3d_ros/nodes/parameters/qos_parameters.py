"""The parameters `qos.*`: QoS of all inputs and all outputs; `qos_overrides.*` is for single topics."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter

BEST_EFFORT, RELIABLE = "best_effort", "reliable"


@dataclass(frozen=True, kw_only=True)
class QosParameters:
    """The parameters `qos.*`."""

    input_reliability: str = parameter(
        BEST_EFFORT,
        "Reliability of image and camera_info subscriptions: best_effort matches every publisher; reliable matches "
        "only reliable publishers, which send lost images again.",
        choices=(BEST_EFFORT, RELIABLE),
        read_only=True,
    )
    input_depth: int = parameter(
        5,
        "Queue length of image subscriptions. Only the newest image is processed: a longer queue costs memory, not "
        "latency. Images that do not fit are lost and counted in /diagnostics.",
        minimum=1,
        maximum=100,
        read_only=True,
    )
    output_reliability: str = parameter(
        RELIABLE,
        "Reliability of all publishers: reliable matches every subscriber; best_effort does not match reliable ones.",
        choices=(RELIABLE, BEST_EFFORT),
        read_only=True,
    )
    output_depth: int = parameter(
        2,
        "Queue length of each publisher, for slow subscribers.",
        minimum=1,
        maximum=100,
        read_only=True,
    )
