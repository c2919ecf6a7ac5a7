"""`metric3d view` as a process, and what it recorded, read back from its file."""

import sys

import numpy as np
import sensor_msgs.msg
from rerun import chunk
from ros_process import RosProcess
from std_msgs.msg import Header

from metric3d_ros.camera import Camera
from metric3d_ros.messages import array_to_image

HEIGHT, WIDTH = 4, 6
CAMERA = Camera(WIDTH, HEIGHT, fx=5.0, fy=7.0, cx=1.5, cy=2.0)
STAMPS_NS = [1_700_000_000_123_456_789, 1_700_000_001_000_000_001]
NAN = np.nan
DEPTH_M = np.arange(1, 25, dtype=np.float32).reshape(HEIGHT, WIDTH) / 4
DEPTH_M[0, 0], DEPTH_M[0, 1], DEPTH_M[3, 5] = NAN, np.inf, 0.0
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def header(stamp_ns, frame_id="camera_optical_frame"):
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return made


def picture(array, encoding, stamp_ns, **fields):
    return array_to_image(array, encoding, header=header(stamp_ns, **fields), sensor_msgs=sensor_msgs.msg)


def start_view(*arguments, environment):
    return RosProcess([sys.executable, "-m", "metric3d_ros.cli", "view", *map(str, arguments)], environment)


def rows(file, store=None):
    """Return the recording's rows: entity, stamp in nanoseconds (None where static), and its components' values."""
    found = []
    for piece in chunk.RrdReader(file).stream(store=store).to_chunks():
        batch = piece.to_record_batch()
        for i in range(batch.num_rows):
            row = {name: batch.column(name)[i] for name in batch.schema.names}
            stamp = row["stamp"].value if "stamp" in row else None
            found.append((piece.entity_path, stamp, row))
    return found


def rows_with(found, entity, component):
    """Return (stamp, row) of one entity where it has this component."""
    return [(stamp, row) for path, stamp, row in found if path == entity and component in row]


def first(row, component):
    """Return what a row's component holds: its first and only instance."""
    return row[component].as_py()[0]


def pixels(row, archetype, dtype, *channels):
    data = np.array(row[f"{archetype}:buffer"].values[0].as_py(), np.uint8).view(dtype)
    return data.reshape(HEIGHT, WIDTH, *channels)


def views(file):
    """Return the last layout's views: name to kind."""
    layouts = []
    for store in chunk.RrdReader(file).blueprints():
        kinds = {first(r, "ViewBlueprint:display_name"): first(r, "ViewBlueprint:class_identifier")
                 for _, _, r in rows(file, store) if "ViewBlueprint:class_identifier" in r}  # fmt: skip
        layouts.append(kinds)
    return max(layouts, key=len)
