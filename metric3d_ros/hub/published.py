"""What the authors of Metric3D have published: a checkpoint for each variant, at one commit of their repository."""

from __future__ import annotations

import os
from pathlib import Path

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.paths import user_path
from metric3d_ros.hub.downloads import HubFile, user_cache
from metric3d_ros.hub.variants import FILES, VARIANTS

REPOSITORY = "JUGGHM/Metric3D"
REVISION = "80d2d1410afb4b23cd9d18c6be9144483d4b70b6"

SHA256 = {
    "vit_small": "b34b2a2be9148054991cef7e417930e1320602ba7bc503b0ee4e7888543728f6",
    "vit_large": "15328ffc42b528b95f188687418f6f03b3f123eb34ccdbd686c112abbea6d972",
    "vit_giant2": "22d64c4dec098fa56eb17b6f22b1fb7d16b4742c66a9c8ee73e7dae61c0d2a1b",
    "convnext_tiny": "bc41f5f919bb0388bbc88fe1d9e60b49b826c620b4acc1b6c10f473f6d4741a5",
    "convnext_large": "0eaaa2501557ac627ada0070e257c6bc74e3e60b45477b29c2efceb70440cfe8",
}
"""Of the published files, as the hub's own pages state them."""

LICENCE = "the authors' code is BSD-2-Clause; for commercial use of their weights they ask to be contacted"


def published_checkpoint(variant: str) -> HubFile:
    """Return the authors' checkpoint of a variant.

    Raises:
        ConfigurationError: they have published none of that name.
    """
    if variant not in FILES:
        raise ConfigurationError(f"variant is {variant!r}, expected one of {', '.join(VARIANTS)}")
    return HubFile(repository=REPOSITORY, revision=REVISION, path=FILES[variant], sha256=SHA256[variant])


def find_in_hub_cache(file: HubFile) -> Path | None:
    """Return the file in the cache of the hub's own tools, of any commit, or None. Its content is not checked."""
    home = os.environ.get("HF_HOME") or user_cache() / "huggingface"
    try:
        cache = user_path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
        snapshots = cache / f"models--{file.repository.replace('/', '--')}" / "snapshots"
        found = [snapshots / file.revision / file.path, *sorted(snapshots.glob(f"*/{file.path}"))]
        return next((path for path in found if path.is_file()), None)
    except (OSError, RuntimeError):  # it cannot be read by this user, or has no such name
        return None
