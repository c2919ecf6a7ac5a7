"""Where published weights come from: the authors' repository on the Hugging Face hub, at one commit of it."""

from pathlib import Path

from metric3d_export.network.variants import VARIANTS, find_variant
from metric3d_ros.errors import CheckpointError, ConfigurationError
from metric3d_ros.hub.downloads import HubFile, download_to_cache
from metric3d_ros.hub.published import published_checkpoint


def published_file(variant: str) -> HubFile:
    """Return the authors' checkpoint of a variant; raises ConfigurationError for one that they have not published."""
    name = find_variant(variant).published_file
    if name is None:
        published = ", ".join(row.name for row in VARIANTS.values() if row.published_file is not None)
        raise ConfigurationError(
            f"no weights were named, and none of {variant} are published (of {published} they are): give "
            "--checkpoint FILE (a .pth or .safetensors), or --stand-in-weights for a dry run"
        )
    return published_checkpoint(variant)


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
