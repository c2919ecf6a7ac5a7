"""Writes a frame as a file that the Rerun viewer opens; it shows all files of a camera as one recording."""

from pathlib import Path

from metric3d_ros.geometry import depth_to_points
from metric3d_ros.messages import Cloud
from metric3d_ros.nodes.viewer.rerun_log import DEPTH, IMAGE, RerunLog
from metric3d_ros.outputs.result import Result
from metric3d_ros.runs.sources.frame import Frame


def write_rrd(path: Path, result: Result[Frame], *, recording: str) -> None:
    """Write the image, its depth and its points at the image's stamp; OSError if the file cannot be written.

    A file of its own for each frame: rerun-sdk 0.41 waits forever if the disk is full while it writes a file itself,
    and cannot continue one in memory.
    """
    frame = result.frame
    log = RerunLog(to_memory=True, recording_id=f"{recording}/{frame.stream}".rstrip("/"))
    try:
        log.set_time(frame.stamp_ns)
        # Rerun draws pictures in space for pinhole cameras only; depth along the rays of a wide lens would be bent.
        if not result.camera.along_rays:
            camera = result.camera.without_distortion()
            log.log_camera(IMAGE, camera)
            log.log_camera(DEPTH, camera)
        log.log_picture(IMAGE, result.rgb)
        colours = result.depth_colours
        log.log_depth(result.depth_m, range_m=(colours.near_m, colours.far_m), colour_map=colours.colour_map)
        stride = result.parameters.points.stride
        every = (slice(None, None, stride),) * 2
        points = depth_to_points(result.cloud_depth_m, result.camera, stride=stride)
        log.log_cloud(Cloud(points=points, rgb=result.rgb[every], normals=None))
        content = log.take_bytes()
    finally:
        log.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
