"""What messages tell people to do is read out of the messages of a real node, done, and found to help."""

import re

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from ros_process import running_node
from sensor_msgs.msg import CameraInfo, Image

from metric3d_ros.nodes.parameter_server.schema import build, entries
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters

PROBLEM = re.compile(r"\[(?:WARN|FATAL|ERROR)\]|error: ")


@pytest.fixture
def node(tmp_path, environment, model):
    """Return a function that runs depth_node with parameters by name, and a parameter file of this text."""

    def run(settings, *words, file=""):
        command = ["--ros-args", "-p", f"model:={model}"]
        if file:
            (tmp_path / "mine.yaml").write_text(file)
            command += ["--params-file", str(tmp_path / "mine.yaml")]
        for name, value in settings.items():
            command += ["-p", f"{name}:={value}"]
        return running_node("depth_node", *command, *words, environment=environment)

    return run


def settings_of(message):
    """Return the parameters with values that a message tells one to set."""
    found = re.search(r"set the parameters? (.+) and start this node again", message)
    assert found, message
    return dict(re.fullmatch(r"(\S+) to (\S+)", words).groups() for words in found[1].split(" and "))


def problems(process):
    return [line for line in process.lines if PROBLEM.search(line) and "is described by a parameter" not in line]


# Quality of service. Settings that bring the warning about, and the other side's profile.
TOO_LITTLE_OFFERED = {
    "reliability": ({"qos.output_reliability": "best_effort"}, {"reliability": ReliabilityPolicy.RELIABLE}),
    "durability": ({}, {"durability": DurabilityPolicy.TRANSIENT_LOCAL}),
    "deadline": ({}, {"deadline": Duration(seconds=5)}),
    "liveliness": ({}, {"liveliness": LivelinessPolicy.MANUAL_BY_TOPIC}),
    "lease": ({}, {"liveliness_lease_duration": Duration(seconds=20)}),
    "both of liveliness": (
        {},
        {"liveliness": LivelinessPolicy.MANUAL_BY_TOPIC, "liveliness_lease_duration": Duration(seconds=20)},
    ),
}
INPUT = "qos_overrides./image.subscription"
TOO_MUCH_ASKED = {
    "reliability": ({"qos.input_reliability": "reliable"}, {"reliability": ReliabilityPolicy.BEST_EFFORT}),
    "reliability of one topic": ({f"{INPUT}.reliability": "reliable"}, {"reliability": ReliabilityPolicy.BEST_EFFORT}),
    "durability": ({f"{INPUT}.durability": "transient_local"}, {}),
    "deadline": ({f"{INPUT}.deadline": 5_000_000_000}, {}),
    "liveliness": ({f"{INPUT}.liveliness": "manual_by_topic"}, {}),
    "lease": ({f"{INPUT}.liveliness_lease_duration": 5_000_000_000}, {}),
}


def show_until(bench, images, done):
    """Publish images until `done`; return whether it came to that."""
    image = Image(height=48, width=64, encoding="mono8", step=64, data=bytes(48 * 64))
    image.header.frame_id = "eye"
    for _ in range(100):
        image.header.stamp.sec += 1
        images.publish(image)
        bench.spin_for(0.1)
        if done():
            return True
    return False


@pytest.mark.parametrize("policy", TOO_LITTLE_OFFERED)
def test_remedy_for_a_subscriber_that_asks_for_more_brings_it_messages(bench, node, policy):
    settings, asked = TOO_LITTLE_OFFERED[policy]
    settings = {"hfov_deg": 60.0, **settings}
    depths = bench.listen(Image, "depth/image", QoSProfile(depth=5, **asked))
    with node(settings) as process:
        remedy = settings_of(process.wait_for("a subscriber of /depth/image asks for more"))
    assert all(name.startswith("qos_overrides./depth/image.publisher.") for name in remedy)
    images = bench.advertise(Image, "image")
    with node(settings | remedy) as process:
        process.wait_for("ready")
        assert show_until(bench, images, lambda: depths), process.lines
        assert problems(process) == []


@pytest.mark.parametrize("policy", TOO_MUCH_ASKED)
def test_remedy_for_a_camera_that_offers_less_brings_its_images(bench, node, policy):
    settings, offered = TOO_MUCH_ASKED[policy]
    settings = {"hfov_deg": 60.0, **settings}
    images = bench.advertise(Image, "image", QoSProfile(depth=5, **offered))
    with node(settings) as process:
        remedy = settings_of(process.wait_for("a publisher of /image offers less"))
    depths = bench.listen(Image, "depth/image")
    with node(settings | remedy) as process:
        process.wait_for("ready")
        assert show_until(bench, images, lambda: depths), process.lines
        assert problems(process) == []


def under(section, *lines):
    return f"{section}:\n  ros__parameters:\n" + "".join(f"    {line}\n" for line in lines)


def rename_key(message, text):
    """Return a parameter file with the section renamed that the message wants renamed."""
    new, old = re.search(r"write (\S+) or /\*\*: in place of (\S+)$", message).groups()
    assert old in text
    return text.replace(old, new, 1)


def rewrite_setting(message, text):
    """Return a parameter file with the line that the message wants written."""
    line = re.search(r": write (.+), or leave it out$", message)[1]
    return re.sub(rf"    {re.escape(line.split(':')[0])}:.*", f"    {line}", text)


def rename_parameter(message, text):
    """Return a parameter file with the parameter renamed that the message takes for a slip."""
    old, new = re.search(r"parameter (\S+) .*, did you mean (\S+)\?$", message).groups()
    assert old in text
    return text.replace(f"{old}:", f"{new}:")


def indent(message, text):
    """Return a parameter file with the two lines before it that the message wants."""
    first, second = re.search(r"write (\S+) in the first line, (\S+) below it with 2 spaces", message).groups()
    return f"{first}\n  {second}\n" + "".join(f"    {line}\n" for line in text.splitlines())


IN_NAMESPACE = ["-r", "__ns:=/front"]
FILES = {
    "another namespace": (under("depth_node", "max_batch: 2"), IN_NAMESPACE, "holds nothing", rename_key),
    "another name": (under("depth_nod", "max_batch: 2"), [], "holds nothing", rename_key),
    "one level of any": (under("/*/depth_node", "max_batch: 2"), [], "holds nothing", rename_key),
    "beside one for all": (
        under("/**", "threads: 1") + under("depth_node", "max_batch: 2"),
        IN_NAMESPACE,
        "which is not this node",
        rename_key,
    ),
    "no cameras": (under("/**", "max_batch: 2", "cameras: []"), [], "parameter cameras is []", rewrite_setting),
    "no value": (under("/**", "max_batch: 2", "threads:"), [], "parameter threads is empty", rewrite_setting),
    "no kind of list": (
        under("/**", "max_batch: 2", "intrinsics: [1, x]"),
        [],
        "parameter intrinsics is [1, x]",
        rewrite_setting,
    ),
    "a word that looks like something else": (
        under("/**", "max_batch: 2", "cameras: [front, on]"),
        [],
        "parameter cameras is [front, on]",
        rewrite_setting,
    ),
    "a slip": (under("/**", "max_batsh: 2"), [], "is not known", rename_parameter),
    "a slip in an override": (
        under("/**", "max_batch: 2", "qos_overrides./points.publisher.durabilty: volatile"),
        [],
        "is for no topic",
        rename_parameter,
    ),
    "an override of another topic": (
        under("/**", "max_batch: 2", "qos_overrides./pionts.publisher.depth: 3"),
        [],
        "is for no topic",
        rename_parameter,
    ),
    "no ros__parameters": ("max_batch: 2\n", [], "without ros__parameters", indent),
}


@pytest.mark.parametrize("what", FILES)
def test_parameter_file_that_is_mended_as_the_message_wants_it_sets_what_it_was_to_set(node, what):
    text, words, message, mend = FILES[what]
    with node({}, *words, file=text) as process:
        mended = mend(process.wait_for(message), text)
    assert mended != text
    with node({}, *words, file=mended) as process:
        process.wait_for("max_batch")
        process.wait_for("ready")
        assert problems(process) == []


def test_frame_that_the_scan_is_told_to_take_is_taken(node):
    settings = {"outputs.scan": "true"}
    with node(settings) as process:
        frame = re.search(r"such as (\w+), because", process.wait_for("parameter scan.frame_id is ''"))[1]
    with node(settings | {"scan.frame_id": "eye_optical_frame"}) as process:
        assert f"such as {frame} (" in process.wait_for("an optical frame by its name")
    with node(settings | {"scan.frame_id": frame}) as process:
        process.wait_for("ready")
        assert problems(process) == []


def test_camera_info_is_found_once_it_is_remapped_as_the_warning_says(bench, node):
    images, infos = bench.advertise(Image, "image"), bench.advertise(CameraInfo, "/eye/info")
    depths = bench.listen(Image, "depth/image")
    info = CameraInfo(width=64, height=48, k=[50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0])
    info.header.frame_id = "eye"

    def warnings():
        infos.publish(info)
        return [line for line in process.lines if "[WARN]" in line and "camera_info" in line]

    with node({}) as process:
        process.wait_for("ready")
        assert show_until(bench, images, warnings), process.lines
        (name,) = set(re.findall(r"remap (\w+)", warnings()[0]))
    with node({}, "-r", f"{name}:=/eye/info") as process:
        process.wait_for("ready")
        assert show_until(bench, images, lambda: warnings() or depths), process.lines
        assert depths


@pytest.mark.parametrize("entry", entries(DepthParameters), ids=lambda entry: entry.name)
def test_value_that_a_refusal_expects_is_accepted(entry):
    """For each parameter: what the message to a wrong value names as right, choice or limit, is right."""
    with pytest.raises(Exception, match=f"parameter {re.escape(entry.name)} is ") as refused:
        build(DepthParameters, {entry.name: object()})
    expected = re.search(r"expected ([\w\[\]]+) ?(.*?): ", str(refused.value))
    assert expected[1] == entry.kind_name
    if entry.choices:
        for choice in entry.choices:
            assert choice in expected[2]
            entry.accept(choice)
    elif entry.minimum is not None and entry.maximum is not None:
        for number in re.match(r"(\S+) to (\S+)", expected[2]).groups():
            entry.accept(int(number) if entry.kind is int else float(number))
