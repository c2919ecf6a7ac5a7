"""Stamps of messages in nanoseconds: their age, their difference, and whether they are of this node's clock."""

from typing import Any

NS_PER_S = 1_000_000_000

NO_STAMP = 0
"""The stamp, in nanoseconds, of a driver that sets none."""

# An image is received at once, so its age at that moment is what the camera and the network took. Clocks of two
# machines that are synchronised differ by milliseconds.
_OLDEST_ON_ARRIVAL_S = 10.0
_AHEAD_S = 0.1

_UNITS_S = (("years", 31_556_952.0), ("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))


def stamp_ns(message: Any) -> int:
    """Return the stamp of a message with a header, in nanoseconds."""
    return header_stamp_ns(message.header)


def header_stamp_ns(header: Any) -> int:
    """Return the stamp of a header, in nanoseconds."""
    return int(header.stamp.sec) * NS_PER_S + int(header.stamp.nanosec)


def age_ms(message: Any, *, now_ns: int) -> float:
    """Return the milliseconds from a message's stamp to `now_ns`, a time of the same clock."""
    return (now_ns - stamp_ns(message)) / 1e6


def apart_ns(one_ns: int, other_ns: int) -> int:
    """Return the nanoseconds between two stamps, whichever is the earlier one."""
    return abs(one_ns - other_ns)


def format_stamp(message: Any) -> str:
    """Return the stamp of a message with a header in seconds, exactly, such as "12.000000345"."""
    return f"{message.header.stamp.sec}.{message.header.stamp.nanosec:09d}"


class StampClock:
    """Compares the stamp of each image of a camera with the time at which it was received."""

    def __init__(self) -> None:
        self._stamp_ns = NO_STAMP
        self._now_ns = 0
        self._seen = False

    def add(self, *, stamp_ns: int, now_ns: int) -> bool:
        """Take an image's stamp and the node's clock at its arrival; return whether one can be taken from the other."""
        self._stamp_ns, self._now_ns, self._seen = stamp_ns, now_ns, True
        return self._is_of_this_clock

    @property
    def _is_of_this_clock(self) -> bool:
        age_s = (self._now_ns - self._stamp_ns) / NS_PER_S
        return self._stamp_ns != NO_STAMP and -_AHEAD_S <= age_s <= _OLDEST_ON_ARRIVAL_S

    def explain(self, *, simulated: bool) -> str:
        """Return why the newest image's age is not known, and the remedy; "" if it is known.

        Args:
            simulated: the node takes its time from /clock.
        """
        if not self._seen or self._is_of_this_clock:
            return ""
        if simulated and not self._now_ns:
            return "use_sim_time is true, but nothing has come on /clock: publish it, or set use_sim_time to false"
        if self._stamp_ns == NO_STAMP:
            return "the images have no stamp (0): let their driver set it"
        age_s = (self._now_ns - self._stamp_ns) / NS_PER_S
        direction = "behind" if age_s > 0 else "ahead of"
        problem = f"the images' stamps are {format_duration(abs(age_s))} {direction} this node's clock"
        if simulated:
            return f"{problem}, which is /clock's: stamp images with that time too, or set use_sim_time to false"
        return (
            f"{problem}: set use_sim_time to true if a simulation or a recording publishes /clock, else synchronise "
            "the camera's clock with this machine's"
        )


def format_duration(seconds: float) -> str:
    """Return seconds in the largest unit of which there are two, such as "56.2 years" or "0.40 s"."""
    for unit, length_s in _UNITS_S:
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"
