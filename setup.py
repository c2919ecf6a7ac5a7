"""Installs metric3d_ros: with colcon as a ROS 2 package (ament_python), with pip as a plain Python package."""

import re
from pathlib import Path

from setuptools import setup

PACKAGE = "metric3d_ros"
HERE = Path(__file__).parent


def packages(folder: str, name: str) -> list[str]:
    """Return the package in `folder` and those within it, as `name` and `name.room`."""
    found = sorted(path.parent.relative_to(HERE / folder) for path in (HERE / folder).rglob("__init__.py"))
    return [".".join((name, *path.parts)) for path in found]


ROS_WHEELS = [
    "ros-rclpy[fastrtps]==7.1.6",
    "ros-sensor-msgs==5.3.6",
    "ros-std-msgs==5.3.6",
    "ros-geometry-msgs==5.3.6",
    "ros-diagnostic-msgs==5.3.6",
    "ros-std-srvs==5.3.6",
    "ros-visualization-msgs==5.3.6",
]
EXPORT = ["torch>=2.7", "onnx>=1.16", "onnxscript>=0.5", "onnx-ir", "safetensors>=0.4"]

# URLs; s3fs supports those of S3, and wants the fsspec of its own version. Paths at URLs are no pathlib.Path since 0.3.
REMOTE = ["universal-pathlib>=0.3", "s3fs>=2024.2"]

# The tools that judge the sources are pinned: another release may judge otherwise.
TEST = [
    "pytest>=8,<9",
    "pytest-xdist>=3.6,<4",
    "hypothesis>=6",
    "psutil>=5.9",
    # Recordings: the libraries of the extras `bags`, `video`, `exr`, `remote` and `ray`, and other readers of results.
    "rosbags>=0.11",
    "av>=14",
    "OpenEXR>=3.3",
    "mcap>=1.1",
    "plyfile>=1",
    *REMOTE,
    "ray>=2.30",
    # A server of the S3 protocol.
    "moto[s3]>=5",
    "flask>=3",
    "flask-cors>=5",
    "ruff==0.17.6",
    "mypy==2.4.1",
    "types-PyYAML",
    "import-linter>=2",
]


def version() -> str:
    """Return the version that the runtime package states (it lives there once)."""
    found = re.search(r'^__version__ = "(.+)"$', (HERE / PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    assert found, f"{PACKAGE}/__init__.py states no __version__"
    return found.group(1)


def files(pattern: str) -> list[str]:
    """Return the files that match `pattern`, relative to this file, as setuptools wants them."""
    return sorted(str(path.relative_to(HERE)) for path in HERE.glob(pattern) if path.is_file())


# By the names of the commands: those of the nodes alone would hide other programs, such as Vim's `view`.
COMMANDS = {
    "metric3d": "cli",
    "metric3d_depth_node": "nodes.depth_node",
    "metric3d_image_player": "nodes.image_player",
    "metric3d_view": "nodes.view",
}

setup(
    name=PACKAGE,
    version=version(),
    description="Metric depth, surface normals and point clouds from one camera, on ROS 2, with Metric3D",
    long_description=(HERE / "README.md").read_text() if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    maintainer="metric3d_ros maintainers",
    maintainer_email="metric3d-ros@users.noreply.github.com",
    python_requires=">=3.10",
    packages=[*packages(PACKAGE, PACKAGE), *packages("export", "metric3d_export")],
    package_dir={"metric3d_export": "export"},
    package_data={PACKAGE: ["py.typed", "models/*.onnx", "models/*.md", "assembly/plans/*.gz", "demo/*.html"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", files("launch/*.launch.py")),
        (f"share/{PACKAGE}/config", files("config/*")),
        # `ros2 run` and `ros2 launch` look in lib/metric3d_ros, where pip puts no console scripts and colcon those
        # above; these launchers stand there with the nodes' own names.
        (f"lib/{PACKAGE}", files("resource/executables/*")),
    ],
    zip_safe=False,
    install_requires=["numpy>=1.24", "opencv-python-headless>=4.6", "PyYAML>=6", "tqdm>=4.60"],
    extras_require={
        "ros": ROS_WHEELS,
        "cpu": ["onnxruntime>=1.18"],
        "gpu": ["onnxruntime-gpu>=1.18"],
        "openvino": ["onnxruntime-openvino>=1.22"],
        "export": EXPORT,
        "viewer": ["rerun-sdk>=0.30"],
        "bags": ["rosbags>=0.11"],
        "video": ["av>=14"],
        "exr": ["OpenEXR>=3.3"],
        "ray": ["ray>=2.30"],
        "open3d": ["open3d>=0.18"],
        "remote": REMOTE,
        "test": TEST,
    },
    entry_points={
        "console_scripts": [f"{name} = {PACKAGE}.{module}:main" for name, module in COMMANDS.items()],
    },
)
