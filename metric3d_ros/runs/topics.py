"""The topics that a bag's outputs get."""

from functools import lru_cache

from metric3d_ros.nodes.ros.topic_names import strip_transport
from metric3d_ros.outputs.table import OUTPUTS
from metric3d_ros.recordings.bags.reader import Bag
from metric3d_ros.runs.sources.bag_images import BagImages
from metric3d_ros.runs.sources.frame import Recording

_APART = "/metric3d"


def output_topics(recording: Recording, stream: str, *, merge: bool) -> dict[str, str]:
    """Return the full name of each output's topic.

    Outputs are in the namespace of their images, as the node's are if it runs there: /camera/depth/image for
    /camera/image_raw. Those of several cameras in one namespace get the name of the stream before them, and those of a
    bag that has such a topic already, /metric3d.
    """
    if not isinstance(recording, BagImages):
        return {output.topic: f"/{output.topic}" for output in OUTPUTS}
    return dict(_topics_of(recording.source, tuple(recording.image_topics), stream, merge))


@lru_cache(maxsize=256)
def _topics_of(source: str, image_topics: tuple[str, ...], stream: str, merge: bool) -> tuple[tuple[str, str], ...]:
    bases = [strip_transport(topic) for topic in image_topics]
    spaces = [base.rpartition("/")[0] for base in bases]
    names = [base.strip("/").replace("/", "_") for base in bases]
    place = names.index(stream) if stream else 0
    space = spaces[place] if spaces.count(spaces[place]) == 1 else f"/{names[place]}"
    with Bag(source) as bag:
        taken = {connection.topic for connection in bag.connections}
    wanted = {output.topic: f"{space}/{output.topic}" for output in OUTPUTS}
    if taken & set(wanted.values()):
        wanted = {topic: f"{_APART}{name}" for topic, name in wanted.items()}
    return tuple(wanted.items())
