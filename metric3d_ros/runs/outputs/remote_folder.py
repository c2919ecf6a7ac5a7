"""A run's folder at a URL: files are made in a local folder and uploaded chunk by chunk."""

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from metric3d_ros.errors import DataError, Metric3DError
from metric3d_ros.files.atomic import scratch_folder
from metric3d_ros.files.boundary import reason_of
from metric3d_ros.recordings.bags.writer import IF_GONE, is_part
from metric3d_ros.runs.manifest_lines import MANIFEST, SETTINGS
from metric3d_ros.runs.outputs.part_files import JOINED, move_into_place

_AGAIN = "run again with --resume"
_LINES = ".manifest"
"""Holds the manifest's lines, a file for each time that some were added: objects cannot grow."""


class RemoteFolder:
    """A run's folder at a URL. A file is there as a whole or not at all, if the store works like that, as S3 does.

    The layout is that of a local folder, with the manifest's lines in `.manifest/` besides.
    """

    def __init__(self, path: Path) -> None:
        """Take a path that `path_of` made."""
        self._path: Any = path
        self._next = 0
        # No lock holds off processes on other machines: at least none replaces another's lines.
        self._own = secrets.token_hex(4)

    def __str__(self) -> str:
        return str(self._path)

    def restore(self, local: Path) -> None:
        """Bring the settings and the manifest of a run that is there into the folder `local`.

        Raises DataError if the URL cannot be read.
        """
        with self._in_one_line("read"):
            settings = self._path / SETTINGS
            if settings.exists():
                (local / SETTINGS).write_bytes(settings.read_bytes())
            parts = self._files_in(_LINES)
            if parts:
                self._download(parts, local / _LINES)
                with (local / MANIFEST).open("wb") as manifest:
                    for part in parts:
                        manifest.write((local / _LINES / part.name).read_bytes())
            numbers = [part.stem.partition("_")[0] for part in parts]
            self._next = 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)

    def forget(self, recordings: Sequence[str]) -> None:
        """Remove the manifest, and the bags and videos of recordings."""
        joined = [f"{name}/{folder}" for name in recordings for folder in JOINED]
        with self._in_one_line("write"):
            films = [f"{name}/{file.name}" for name in recordings for file in self._files_in(name)]
            for name in (_LINES, MANIFEST, *joined, *(film for film in films if film.endswith(".mp4"))):
                if (self._path / name).exists():
                    self._path.fs.rm((self._path / name).path, recursive=True)

    @contextlib.contextmanager
    def named_for(self, local: Path) -> Iterator[None]:
        """Let messages about files in the folder `local`, which stands for this one, name them at their URL."""
        try:
            yield
        except DataError as error:
            raise DataError(str(error).replace(str(local), str(self))) from error

    def keep_settings(self, local: Path) -> None:
        """Upload the run's settings."""
        self._upload([(local / SETTINGS, SETTINGS)])

    def add_lines(self, text: str) -> None:
        """Add lines to the manifest."""
        with scratch_folder("metric3d_lines") as scratch:
            (scratch / "lines").write_bytes(text.encode())
            self._upload([(scratch / "lines", f"{_LINES}/{self._next:08d}_{self._own}.jsonl")])
        self._next += 1

    def place(self, part: Path, recording: str, name: str) -> tuple[str, dict[str, str]]:
        """Upload a complete part's files under their final names, then delete them here; see `move_into_place`.

        A chunk that is done again has the same files with the same content, so it does not matter who else uploads it.
        """
        staged = part.with_name(f"{part.name}_staged")
        try:
            names = move_into_place(part, staged, recording, name)
            files = [file for file in sorted(staged.rglob("*")) if file.is_file()]
            self._upload([(file, file.relative_to(staged).as_posix()) for file in files])
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return names

    def complete(self, local: Path, recordings: Sequence[str], write: Callable[[], dict[str, list[str]]]) -> None:
        """Upload what belongs to all chunks of a recording.

        Args:
            local: the folder that has the manifest.
            recordings: their names.
            write: writes these files into `local`, in which all parts of videos and what is known of bags' files are;
                returns the storage files of each recording's bag.
        """
        with self._in_one_line("read"):
            there = {name: self._files_in(f"{name}/bag") for name in recordings}
            for name, files in there.items():
                self._download([file for file in files if file.name.startswith(".")], local / name / "bag")
                self._download(self._files_in(f"{name}/.video"), local / name / ".video")
        fetched = {file for file in local.rglob("*") if file.is_file()}
        with self.named_for(local):
            bags = write()
        for name, kept in bags.items():
            for file in sorted(set(kept) - {file.name for file in there[name]}):
                raise DataError(f"{self}/{name}/bag/{file} is gone, which is a part of the bag: {IF_GONE}")
        made = [file for file in local.rglob("*") if file.is_file() and file not in fetched]
        made += [local / MANIFEST] if (local / MANIFEST).exists() else []
        self._upload([(file, file.relative_to(local).as_posix()) for file in made])
        with self._in_one_line("write"):
            for name, kept in bags.items():
                for file in there[name]:
                    if is_part(file.name, recording=name) and file.name not in kept:
                        file.unlink()  # of a process that was killed before its lines were in the manifest

    def _files_in(self, folder: str) -> list[Any]:
        path = self._path / folder
        if not path.is_dir():
            return []
        return sorted((file for file in path.iterdir() if file.is_file()), key=lambda file: str(file.name))

    def _download(self, files: Sequence[Any], folder: Path) -> None:
        if files:
            folder.mkdir(parents=True, exist_ok=True)
            self._path.fs.get([file.path for file in files], [str(folder / file.name) for file in files])

    def _upload(self, files: Sequence[tuple[Path, str]]) -> None:
        for file, _ in files:
            if not file.is_file():
                raise DataError(f"{file} is gone, which was to be uploaded: keep temporary files, and {_AGAIN}")
        if files:
            with self._in_one_line("write"):
                self._path.fs.put([str(file) for file, _ in files], [(self._path / name).path for _, name in files])

    @contextlib.contextmanager
    def _in_one_line(self, what: str) -> Iterator[None]:
        try:
            yield
        except Metric3DError:
            raise
        except FileNotFoundError as error:
            missing = f"not found ({reason_of(error)})"
            raise DataError(f"cannot {what} {self}: {missing}; check the bucket's name") from error
        except Exception as error:  # each kind of store raises other classes
            remedy = "check the address and your access to it"
            remedy += f", and {_AGAIN}" if what == "write" else ""
            raise DataError(f"cannot {what} {self}: {reason_of(error)}; {remedy}") from error
