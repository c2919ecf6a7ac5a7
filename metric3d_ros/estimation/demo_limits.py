"""The warning about the demo model's limits on images that were not rendered."""

from metric3d_ros.estimation.depth_model import DepthModel

RENDERED_FRAME_ID = "rendered_camera_optical_frame"
"""frame_id of images that this package has rendered, which the demo model was made for."""


def explain_demo_limits(model: DepthModel, *, remedy: str) -> str:
    """Return, in one sentence, what to expect of the demo model on images that were not rendered; "" of other models.

    Args:
        model: the model in use.
        remedy: the argument by which the caller chooses another model, such as "model:=vit_small".
    """
    return describe_demo_limits(remedy) if model.metadata is not None and model.metadata.is_demo else ""


def describe_demo_limits(remedy: str) -> str:
    """Return that sentence for the demo model."""
    return (
        "the demo model is a small one for trying, not for robots: expect depth that is 10 to 20 % off in rooms and on "
        f"roads, and more elsewhere; {remedy} gives the authors' depth"
    )
