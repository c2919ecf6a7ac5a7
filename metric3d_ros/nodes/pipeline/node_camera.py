"""NodeCamera: one camera of depth_node, from its intake to its outlet."""

import contextlib
from collections.abc import Callable

from rclpy.node import Node

from metric3d_ros.codecs.sixteen_bits import SampleRange, SteadySampleRange
from metric3d_ros.corrections import Corrected, CorrectionOptions, DepthCorrector
from metric3d_ros.estimation.estimator import Estimate
from metric3d_ros.messages.stamps import stamp_ns
from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.health.arrivals import Arrivals
from metric3d_ros.nodes.health.calibration_watch import CalibrationReport, CalibrationWatch
from metric3d_ros.nodes.health.camera_progress import CameraProgress
from metric3d_ros.nodes.health.frame_counts import FrameCounts
from metric3d_ros.nodes.intake.camera_intake import CameraIntake
from metric3d_ros.nodes.intake.ranges.range_input import RangeInput
from metric3d_ros.nodes.outlet.camera_outlet import CameraOutlet
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.scale import ScaleState


class NodeCamera:
    """One camera of the node: its intake, its outputs, and what its frames leave behind between the two."""

    def __init__(
        self,
        node: Node,
        *,
        parameters: DepthParameters,
        offer: Callable[["NodeCamera", Frame], None],
        name: str = "",
        max_pixels: Callable[[], int] | None = None,
    ) -> None:
        """Advertise the outputs; `intake.start` subscribes.

        Args:
            offer: takes each frame that is complete.
            name: it goes before each topic, as in "front/image". "" if there is only one camera.
            max_pixels: the present largest size of an image; None takes that of `parameters`.
        """
        self.name = name
        self._log = node.get_logger()
        self.outlet = CameraOutlet(node, parameters=parameters, name=name)
        self.progress = CameraProgress(FrameCounts(warn=self._warn))
        self.intake = CameraIntake(
            node,
            parameters=parameters,
            counts=self.progress.counts,
            hand_on=lambda frame: offer(self, frame),
            depth_topic=self.outlet.depth_topic,
            name=name,
            max_pixels=max_pixels,
        )
        self.calibration = CalibrationWatch(warn=lambda text: self._warn(f"the calibration is doubtful: {text}"))
        self._ranges = RangeInput(node, parameters=parameters)
        self._corrector = DepthCorrector(warn=self._warn)
        self.scale: ScaleState | None = None
        """The correction of the newest frame's scale; None if there is none."""
        self.sample_range = SteadySampleRange()
        """Which samples of 16-bit images are black and white, from one image to the next."""

    def correct(
        self, frame: Frame, estimate: Estimate, options: CorrectionOptions, parameters: DepthParameters
    ) -> Corrected:
        """Correct the estimate of a frame; frames come in the order of their stamps, also while `options` are off."""
        stamp_s = stamp_ns(frame) / 1e9
        ranges = self._ranges.at(
            stamp_s,
            frame_id=str(frame.header.frame_id),
            max_age_s=parameters.scale.max_age_s,
            transform=parameters.scale.transform,
        )
        corrected = self._corrector.apply(estimate, frame.rgb, stamp_s, options=options, ranges=ranges)
        self.scale = corrected.scale
        return corrected

    # What /diagnostics and ~/timing report.

    @property
    def image_topic(self) -> str:
        """The full name of the topic that images are taken from."""
        return self.intake.image_topic

    @property
    def is_wanted(self) -> bool:
        """Whether any output has a subscriber."""
        return bool(self.outlet.wanted())

    @property
    def calibration_report(self) -> CalibrationReport | None:
        """What was found about the calibration; None before the first frame."""
        return self.calibration.report

    @property
    def sample_range_in_use(self) -> SampleRange | None:
        """The range of the newest 16-bit image; None before the first."""
        return self.sample_range.used

    def arrivals(self) -> Arrivals:
        """Return what is known of images that do not come."""
        return self.intake.arrivals()

    def explain_unknown_age(self, *, simulated: bool) -> str:
        """Return why the newest image has no age; "" if it has one. `simulated`: time comes from /clock."""
        return self.intake.explain_unknown_age(simulated=simulated)

    def _warn(self, text: str) -> None:
        with contextlib.suppress(MemoryError):  # what is counted without a line is in /diagnostics all the same
            self._log.warning(f"{self.image_topic}: {text}")
