"""The Rerun viewer as a process: found, started on free ports, waited for and, if this process started it, ended."""

import importlib.metadata
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from metric3d_ros.errors import ConfigurationError, Metric3DError
from metric3d_ros.files.boundary import read_end
from metric3d_ros.parent_process import end_with_parent

LOOPBACK = "127.0.0.1"
GRPC_PORT = 9876
WEB_PORT = 9090
LEAST_VERSION = (0, 30)
"""The oldest rerun-sdk with every call that is made here; setup.py's extra `viewer` asks for the same."""

_REMEDY = "install it with `pip install '.[viewer]'` in the source folder, or `pip install 'rerun-sdk>=0.30'`"
_DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET")
_START_S = 30.0
_STOP_S = 5.0
_TAIL_LINES = 3


class ViewerError(Metric3DError):
    """The Rerun viewer did not start, or ended by itself with an error."""


def explain_missing_rerun() -> str | None:
    """Return one line with the remedy where rerun-sdk is missing or too old; None if it can be used."""
    if importlib.util.find_spec("rerun") is None:
        return f"Rerun cannot be imported: {_REMEDY}"
    try:
        version = importlib.metadata.version("rerun-sdk")
    except importlib.metadata.PackageNotFoundError:
        return None  # from its own build, say
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_VERSION:
        return f"rerun-sdk is {version}, expected {LEAST_VERSION[0]}.{LEAST_VERSION[1]} or newer: {_REMEDY}"
    return None


def check_display(environment: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigurationError if a window cannot be shown: on Linux without X11 or Wayland."""
    if sys.platform == "linux" and not any(environment.get(name) for name in _DISPLAY_VARIABLES):
        raise ConfigurationError(
            "there is no display for Rerun's window (neither DISPLAY nor WAYLAND_DISPLAY is set): watch in a browser "
            "with --web (make demo: VIEWER=web), or record with --save FILE.rrd and open the file elsewhere"
        )


class RerunProcess:
    """A running viewer that takes recordings on `grpc_url`.

    A window outlives this process, so that what it shows can be looked at in peace; a web viewer ends with it.
    """

    def __init__(
        self,
        kind: Literal["window", "web"],
        *,
        host: str = LOOPBACK,
        grpc_port: int = GRPC_PORT,
        web_port: int = WEB_PORT,
        memory_limit: str = "1GiB",
    ) -> None:
        """Start a viewer and wait until it listens.

        Args:
            kind: a native window, or a web server with the viewer's page.
            host: the address to listen on; 0.0.0.0 lets other machines look.
            grpc_port, web_port: used if they are free, else the system chooses.
            memory_limit: what the viewer keeps; it forgets the oldest first.

        Raises ConfigurationError without a display for a window, or for a host that is not this machine's, and
        ViewerError when the viewer ends or does not listen in time.
        """
        if kind == "window":
            check_display()
        self._kind = kind
        self.host = host
        self._grpc_port = _free_port(host, grpc_port)
        self._web_port = _free_port(host, web_port)
        arguments = ["--bind", host, "--port", str(self._grpc_port), "--hide-welcome-screen"]
        if kind == "web":
            arguments += ["--serve-web", "--web-viewer-port", str(self._web_port)]
            arguments += ["--server-memory-limit", memory_limit, *_page_permission(host, self._web_port)]
        else:
            arguments += ["--expect-data-soon", "--memory-limit", memory_limit]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (as long as this object)
        self._process = subprocess.Popen(
            [str(_executable()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the node, which sends the rest of its data first
            preexec_fn=end_with_parent if kind == "web" else None,
        )
        try:
            self._wait_until_it_listens()
        except BaseException:  # an interruption too; nobody else can end the process
            self._end()
            raise

    @property
    def grpc_url(self) -> str:
        """Where this machine's recordings go."""
        return f"rerun+http://{self._local_host}:{self._grpc_port}/proxy"

    @property
    def page_url(self) -> str:
        """What to open in a browser; only of a web viewer."""
        shown = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        source = quote(f"rerun+http://{shown}:{self._grpc_port}/proxy", safe="")
        return f"http://{shown}:{self._web_port}/?url={source}"

    @property
    def has_ended(self) -> bool:
        """Whether the window was closed, or the viewer crashed."""
        return self._process.poll() is not None

    def failure(self) -> ViewerError | None:
        """Return why an ended viewer ended; None when its user closed it, or while it runs."""
        code = self._process.poll()
        if not code:
            return None
        return ViewerError(f"the Rerun viewer ended with exit code {code}: {self._tail()}; --web needs no display")

    def close(self) -> None:
        """End a web viewer; leave a window to its user."""
        if self._kind == "web":
            self._end()

    @property
    def _local_host(self) -> str:
        return LOOPBACK if self.host in ("0.0.0.0", "::") else self.host

    def _wait_until_it_listens(self) -> None:
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                raise self.failure() or ViewerError(f"the Rerun viewer ended at once: {self._tail()}")
            try:
                socket.create_connection((self._local_host, self._grpc_port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise ViewerError(
            f"the Rerun viewer did not listen on port {self._grpc_port} in {_START_S:g} s: {self._tail()}"
        )

    def _tail(self) -> str:
        lines = [line.strip() for line in read_end(self._log).splitlines() if line.strip()]
        return " | ".join(lines[-_TAIL_LINES:]) or "it printed nothing"

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _executable() -> Path:
    """Return the viewer's program; `python -m rerun_cli` would hide its exit code, and PATH may have another one."""
    found = importlib.util.find_spec("rerun_cli")
    path = Path(found.origin).parent / "rerun" if found and found.origin else Path("rerun_cli/rerun")
    if not path.is_file():
        raise ViewerError(f"rerun-sdk brings no viewer for this machine ({path} is missing): use --save FILE.rrd")
    return path


def _page_permission(host: str, web_port: int) -> list[str]:
    """Return what lets the page fetch the data when it was opened under any of this machine's names."""
    if host == LOOPBACK:
        return []
    # Viewers without the option allow every page.
    known = subprocess.run([_executable(), "--help"], capture_output=True, text=True, check=False).stdout
    return ["--cors-allow-origin", f"http://*:{web_port}"] if "--cors-allow-origin" in known else []


def _free_port(host: str, wanted: int) -> int:
    """Return `wanted` if nothing listens on it, else a port of the system's choice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (wanted, 0):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return int(probe.getsockname()[1])
            except OSError as error:
                reason = error
    raise ConfigurationError(f"cannot listen on {host} ({reason.strerror}): give --host an address of this machine")
