"""A page to scroll through the pictures of a run."""

import html
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metric3d_ros.files.atomic import write_text

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Depth of {title}</title>
<style>
body{{background:#0c0d10;color:#dfe2e8;font:15px/1.45 system-ui,sans-serif;margin:0;padding:1.2rem}}
h1{{font-size:1.25rem}} h2{{font-size:1.05rem;margin:2rem 0 .6rem}}
figure{{margin:0 0 1.2rem}} img{{width:100%;max-width:1280px;height:auto;display:block;border-radius:4px}}
figcaption{{color:#9aa0aa;padding-top:.3rem}}
.warning{{background:#5a1d12;color:#ffe3d8;border-radius:4px;padding:.7rem 1rem;font-weight:600}}
</style></head><body>
<h1>{title}: {count} frames</h1>
<p>The image, and its depth: near is warm, far is cold, invalid is dark gray.</p>
"""


def write_page(path: Path, frames: Sequence[dict[str, Any]], *, warning: str = "") -> None:
    """Write a page of all frames' pictures beside which it lies; pictures load when they are scrolled to.

    `warning` stands above them, if there is one.
    """
    names = list(dict.fromkeys(str(frame["recording"]) for frame in frames))
    parts = [_HEAD.format(title=html.escape(", ".join(names)), count=len(frames))]
    if warning:
        parts.append(f'<p class="warning">{html.escape(warning[0].upper() + warning[1:])}</p>')
    for name in names:
        own = sorted((f for f in frames if f["recording"] == name), key=lambda f: (f["received_ns"], f["frame"]))
        parts.append(f"<h2>{html.escape(name)}</h2>")
        parts += [_figure(frame) for frame in own]
    parts.append("</body></html>\n")
    write_text(path, "\n".join(parts))


def _figure(frame: dict[str, Any]) -> str:
    picture = next((file for file in frame["files"] if "pictures" in file.split("/")), "")
    address = urllib.parse.quote(picture)  # a file's name may hold #, ? and %, which mean something else in an address
    depth, camera = frame["depth_m"], frame["camera"]
    middle = "no valid depth" if depth["p50"] is None else f"{depth['p5']:.2f} to {depth['p95']:.2f} m"
    caption = (
        f"{frame['frame']}, {frame['stamp_ns'] / 1e9:.3f} s: {middle} (5 to 95 %), focal length "
        f"{frame['focal_px']:.1f} px ({frame['focal_from']})"
    )
    return (
        f'<figure><img loading="lazy" src="{html.escape(address, quote=True)}" width="{2 * camera["width"]}" '
        f'height="{camera["height"]}" alt="{html.escape(str(frame["frame"]), quote=True)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
