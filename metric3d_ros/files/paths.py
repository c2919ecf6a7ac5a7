"""Paths as users write them."""

import os
from pathlib import Path


def user_path(text: str | os.PathLike[str]) -> Path:
    """Return a path, with ~ and ~NAME as home directories; as it is written if there is no such user or no home."""
    return Path(os.path.expanduser(text))


def why_missing(path: Path) -> str:
    """Return why nothing is found at a path, as "does not exist"; "" if something is."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"cannot be reached ({error.strerror})"
    except ValueError as error:  # a zero byte
        return f"cannot be reached ({error})"
    return ""
