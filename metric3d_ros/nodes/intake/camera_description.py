"""Which camera took a frame's image: from camera_info, from a calibration file, or from a few numbers."""

from metric3d_ros.camera import Camera, fit_camera
from metric3d_ros.estimation.views.lens_views import view_to_show
from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.intake.pairing import SCALING_REMEDY
from metric3d_ros.nodes.intake.rectification import Rectification
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.outputs.options import RECTIFIED


def is_rectified(frame: Frame, parameters: DepthParameters) -> bool:
    """Return whether P describes the image, and not K and D."""
    return Rectification(choice=parameters.rectified, topic=frame.image_topic).is_rectified


def describe_camera(frame: Frame, parameters: DepthParameters) -> Camera:
    """Return the camera of the image; CameraError if its description cannot be used."""
    width, height = frame.width, frame.height
    if frame.description is not None:
        described = Camera.from_camera_info(frame.description, rectified=is_rectified(frame, parameters))
        whose = "the camera" if frame.calibration is None else f"the camera of {frame.calibration.source}"
        return fit_camera(
            described, width, height, scale=parameters.scales_camera_info, whose=whose, remedy=SCALING_REMEDY
        )
    if parameters.hfov_deg:
        return Camera.from_hfov(width, height, hfov_deg=parameters.hfov_deg)
    fx, fy, cx, cy = parameters.intrinsics
    return Camera(width, height, fx, fy, cx, cy)


def show_rectified(frame: Frame, parameters: DepthParameters) -> Frame:
    """Return a decoded frame as its outputs are to show it: rectified if `outputs_in` asks for that.

    Raises CameraError for a lens that no pinhole image shows.
    """
    if parameters.outputs_in != RECTIFIED:
        return frame
    view = view_to_show(frame.camera, parameters.rectify)
    return frame if view is None else frame.rectified(view.rectify(frame.rgb), view.camera, view.seen)
