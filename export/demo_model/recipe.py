"""How the demo model is trained: frame sizes and worlds, batch sizes, learning rates."""

from dataclasses import dataclass

from metric3d_export.demo_model.rendering.drawn_views import ON_ROADS, Frame
from metric3d_export.demo_model.training_images import Course


@dataclass(frozen=True)
class Recipe:
    """Courses and rates. The rate warms up, stays, and falls linearly to zero over the last part of the time."""

    courses: tuple[Course, ...]
    decoder_rate: float
    encoder_rate: float
    warm_up_steps: int = 100
    cool_down: float = 0.3  # share of the time
    weight_decay: float = 0.02
    capacity: int = 1500  # images kept per frame, to be shown again
    judge_every_s: float = 300.0


DEMO = Frame((256, 352), (252, 336))
PADDED = Frame((256, 320), (240, 320))
WIDE = Frame((192, 288), (168, 280))
ROAD = Frame((128, 384), mix=ON_ROADS)
VGA = Frame((480, 640))

ON_A_CPU = Recipe(
    courses=(
        Course(Frame((160, 224)), 0.34, 12, 4),
        Course(Frame((192, 256)), 0.22, 8, 3),
        Course(ROAD, 0.14, 8, 3),
        Course(WIDE, 0.08, 8, 3),
        Course(PADDED, 0.05, 6, 2),
        Course(DEMO, 0.13, 6, 2),
        Course(VGA, 0.04, 2, 1),
    ),
    decoder_rate=1.2e-3,
    encoder_rate=2e-4,
)
"""Small images for the most part: a step takes about a second on one core."""

ON_A_GPU = Recipe(
    courses=(
        Course(Frame((192, 256)), 0.20, 128, 64),
        Course(DEMO, 0.28, 64, 32),
        Course(PADDED, 0.06, 64, 32),
        Course(WIDE, 0.06, 96, 48),
        Course(Frame((192, 608), mix=ON_ROADS), 0.10, 48, 24),
        Course(Frame((352, 1216), mix=ON_ROADS), 0.08, 16, 8),
        Course(VGA, 0.22, 24, 12),
    ),
    decoder_rate=1.5e-3,
    encoder_rate=2e-4,
    warm_up_steps=300,
    cool_down=0.4,
    capacity=4000,
    judge_every_s=100.0,
)
"""Every step sees some six million pixels, the number that a GPU with 80 GB takes with room to spare."""

EMA_DECAY = 0.996
CLIP_NORM = 1.0
HELD_OUT = (Course(DEMO, 1.0, 24, 24), Course(ROAD, 1.0, 24, 24))
"""What is validated during training: 24 images of either frame."""
