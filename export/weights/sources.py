"""Where published weights come from: the authors' repository on the Hugging Face hub, at one commit of it."""

from pathlib import Path

from metric3d_export.network.variants import VARIANTS, find_variant
from metric3d_ros.errors import CheckpointError, ConfigurationError
from metric3d_ros.hub.downloads import HubFile, download_to_cache

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


def published_file(variant: str) -> HubFile:
    """Return the authors' checkpoint of a variant; raises ConfigurationError for one that they have not published."""
    name = find_variant(variant).published_file
    if name is None:
        published = ", ".join(row.name for row in VARIANTS.values() if row.published_file is not None)
        raise ConfigurationError(
            f"no weights were named, and none of {variant} are published (of {published} they are): give "
            "--checkpoint FILE (a .pth or .safetensors), or --stand-in-weights for a dry run"
        )
    return HubFile(repository=REPOSITORY, revision=REVISION, path=name, sha256=SHA256[variant])


def download_published_weights(variant: str) -> Path:
    """Return the published checkpoint of a variant, downloaded to the cache if it is not there yet.

    Raises ConfigurationError for a variant that is not published, DownloadError as `downloads.download` does.
    """
    return download_to_cache(published_file(variant), by_hand="give it with --checkpoint FILE")


def require_published(variant: str, *, path: Path, sha256: str) -> None:
    """Raise CheckpointError when `path`, from the cache, is no longer what was published."""
    expected = published_file(variant).sha256
    if sha256 != expected:
        raise CheckpointError(
            f"{path} has SHA-256 {sha256}, expected {expected}: it was damaged on this machine; delete it and run the "
            "command again"
        )
