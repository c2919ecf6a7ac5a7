"""DemoViewer: `metric3d view` as one more process of the demo, beside player and node."""

import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from metric3d_ros.demo.child_processes import Child, read_tail, start_module
from metric3d_ros.demo.terminal import LiveView
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.boundary import read_end
from metric3d_ros.nodes.viewer.rerun_process import check_display, explain_missing_rerun

WINDOW, WEB = "rerun", "web"
VIEWERS = (WINDOW, WEB)

_MODULE = "metric3d_ros.nodes.view"
_READY = "watching "
_PAGE = re.compile(r"http://\S+")
_START_S = 60.0
_POLL_S = 0.2


def check_viewer(kind: str) -> None:
    """Raise ConfigurationError with the remedy if this machine cannot show such a viewer."""
    missing = explain_missing_rerun()
    if missing is not None:
        raise ConfigurationError(missing)
    if kind == WINDOW:
        check_display()


class DemoViewer:
    """A viewer of the demo's topics; whoever creates it stops its `children`."""

    def __init__(self, kind: str, *, children: list[Child], live: LiveView, logs: Path) -> None:
        """Prepare a viewer: `kind` is one of VIEWERS, and the started process is put into `children`."""
        self._kind = kind
        self._children = children
        self._live = live
        self._log = logs / "view.log"
        self._page = ""

    def start(self, namespace: str, environment: Mapping[str, str]) -> None:
        """Watch the topics in `namespace`; return once it does. Raises ChildError when it cannot."""
        options = ["--web"] if self._kind == WEB else []
        arguments = [*options, "--ros-args", "-r", f"__ns:={namespace}"]
        child = start_module(_MODULE, arguments, log=self._log, environment=environment)
        self._children.append(child)
        begun_s = time.monotonic()
        while _READY not in (text := self._read_log()):
            waited_s = time.monotonic() - begun_s
            self._live.waiting("starting the viewer ...", waited_s)
            if child.exit_code is not None:
                raise child.failure(f"ended with exit code {child.exit_code} before it showed anything")
            if waited_s > _START_S:
                raise child.failure(f"was not ready after {_START_S:g} s")
            time.sleep(_POLL_S)
        page = _PAGE.search(text)
        self._page = page.group() if page else ""
        self._live.print_line(f"open in a browser: {self._page}" if self._page else "watch it in Rerun's window")

    def _read_log(self) -> str:
        with self._log.open("rb") as file:
            return read_end(file)

    def linger(self) -> None:
        """Keep a web viewer open until Ctrl-C, if there is a terminal."""
        if self._kind == WINDOW:
            self._live.print_line("Rerun's window stays open until you close it")
            return
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return
        self._live.print_line(f"still to be seen at {self._page}\nPress Ctrl-C to end.")
        child = self._children[-1]
        try:
            while child.exit_code is None:
                time.sleep(_POLL_S)
        except KeyboardInterrupt:
            return
        self._live.print_line(f"the viewer has ended:\n{read_tail(self._log)}")
