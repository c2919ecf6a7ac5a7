"""How the demo model is trained: the stages, in order, with what each of them sees."""

from dataclasses import dataclass

from metric3d_export.demo_model.samples import Frame


@dataclass(frozen=True)
class Course:
    """One kind of batch and its share of a stage's steps."""

    frame: Frame
    share: float
    count: int  # images per batch
    fresh: int  # of which rendered anew
    probe: bool = False  # in a stage of the whole network: only the encoder, under the probe, which is cheaper


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one schedule: warm-up, constant rate, linear cool-down to zero."""

    name: str
    steps: int
    courses: tuple[Course, ...]
    whole_network: bool  # False: encoder under the throw-away probe
    rate: float  # AdamW
    matrix_rate: float  # Muon, for the encoder's matrices
    warm_up_steps: int = 200
    cool_down: float = 0.3  # share of the steps
    weight_decay: float = 0.02


DEMO = Frame((252, 336))
PADDED = Frame((252, 336), (240, 320))
WIDE = Frame((168, 280))
VGA = Frame((504, 644), (480, 640))

ENCODER = Stage(
    name="encoder",
    steps=1217,
    courses=(
        Course(Frame((112, 168)), 0.40, 32, 10),
        Course(Frame((168, 224)), 0.25, 16, 6),
        Course(WIDE, 0.12, 14, 6),
        Course(DEMO, 0.18, 8, 4),
        Course(PADDED, 0.05, 8, 4),
    ),
    whole_network=False,
    rate=1.5e-3,
    matrix_rate=1.5e-3,
    cool_down=0.15,
)
NETWORK = Stage(
    name="network",
    steps=466,
    courses=(
        Course(Frame((112, 168)), 0.25, 12, 6),
        Course(Frame((168, 224)), 0.23, 6, 4),
        Course(WIDE, 0.17, 6, 4),
        Course(DEMO, 0.25, 4, 4),
        Course(PADDED, 0.07, 4, 4),
        Course(VGA, 0.03, 2, 2),
    ),
    whole_network=True,
    rate=1e-3,
    matrix_rate=7e-4,
)
JOINT = Stage(
    name="joint",
    steps=666,
    courses=(
        Course(Frame((112, 168)), 0.15, 32, 10, probe=True),
        Course(Frame((168, 224)), 0.15, 16, 6, probe=True),
        Course(WIDE, 0.08, 14, 6, probe=True),
        Course(DEMO, 0.12, 8, 4, probe=True),
        Course(Frame((112, 168)), 0.06, 12, 6),
        Course(Frame((168, 224)), 0.10, 6, 4),
        Course(WIDE, 0.12, 6, 4),
        Course(DEMO, 0.16, 4, 4),
        Course(PADDED, 0.04, 4, 4),
        Course(VGA, 0.02, 2, 2),
    ),
    whole_network=True,
    rate=8e-4,
    matrix_rate=8e-4,
    warm_up_steps=50,
    cool_down=0.5,
)
STAGES = {stage.name: stage for stage in (ENCODER, NETWORK, JOINT)}
EMA_DECAY = 0.996
CLIP_NORM = 1.0
HELD_OUT = (Course(DEMO, 1.0, 40, 40), Course(WIDE, 1.0, 40, 40))
