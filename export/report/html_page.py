"""The export report as one self-contained HTML file."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metric3d_ros import model_contract

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f4b; --bad: #c0392b }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2.5rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
p.sub { margin: .2rem 0 1.2rem; opacity: .75 }
.cards { display: flex; flex-wrap: wrap; gap: .8rem } .card { flex: 1 1 9rem; border: 1px solid var(--line);
border-radius: .6rem; padding: .7rem .9rem } .card b { display: block; font-size: 1.25rem } .card span { opacity: .7 }
.note { border-left: .3rem solid var(--bad); padding: .5rem .9rem; background: var(--soft); margin: 1rem 0 }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
tbody tr:nth-child(even) { background: var(--soft) }
.good { color: var(--good) } .bad { color: var(--bad); font-weight: 600 } code { word-break: break-all }
td:first-child { white-space: nowrap } .soft { opacity: .65; white-space: nowrap }
details { margin: .8rem 0 } summary { cursor: pointer; padding: .3rem 0 }
@media (max-width: 40rem) { body { margin: 1.2rem auto } th, td { padding: .3rem .4rem; font-size: .85rem } }
"""

_TENSORS = {
    model_contract.IMAGE: ("uint8 [N, H, W, 3]", "RGB as the camera saw it"),
    model_contract.FOCAL_LENGTH: ("float32 [N]", "focal length in pixels of this image"),
    model_contract.DEPTH: ("float32 [N, H, W]", "metres along the optical axis"),
    model_contract.CONFIDENCE: ("float32 [N, H, W]", "expected accuracy of the depth, about 0 to 1"),
    model_contract.NORMAL: ("float32 [N, H, W, 3]", "unit vectors: x right, y down, z forward; they face the camera"),
    model_contract.NORMAL_CONFIDENCE: ("float32 [N, H, W]", "larger means more certain"),
}


def make_page(record: Mapping[str, Any]) -> str:
    """Return the page of a report's JSON record (see `report.ExportReport.to_json`)."""
    model = record["model"]
    sections = [
        f"<h1>{_text(record['file'])}</h1><p class=sub>{_text(model['variant'])}, made by metric3d_ros "
        f"{_text(model['exporter_version'])}</p>",
        *_notes(record),
        _cards(record),
        _section("What it is", _facts(record)),
        _section("What goes in and comes out", _tensors(record["differences"])),
        _section("How far it is from PyTorch", _differences(record["differences"])),
    ]
    if record["guard"]:
        sections.append(_section("What the reduced precision costs", _guard(record["guard"])))
    if record["runs"]:
        sections.append(_section(f"What it costs to run ({record['machine']})", _runs(record["runs"])))
    sections.append(_section("Operators", _operators(record["operators"])))
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    sections.append(f"<p class=sub>{_text(versions)}; {_text(record['machine'])}</p>")
    title = f"{_text(record['file'])}: export report"
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title}</title>"
    body = "".join(sections)
    return f"<!doctype html><html lang=en><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>\n"


def _notes(record: Mapping[str, Any]) -> list[str]:
    notes = []
    if record["model"]["weights_file"] == "stand-in":
        notes.append("The weights are stand-ins: depth from this model is meaningless.")
    if record["degraded"]:
        notes.append(f"Kept although it deviates too far from float32: {record['degraded']}.")
    return [f"<p class=note>{_text(note)}</p>" for note in notes]


def _cards(record: Mapping[str, Any]) -> str:
    cards = [(record["model"]["precision"], "precision"), (f"{record['file_bytes'] / 1e6:.1f} MB", "file")]
    medians = [
        d["value"] for d in record["guard"] if (_kind(d), d["output"], d["figure"]) == ("room", "depth", "median")
    ]
    if medians:
        cards.append((_number(_largest(medians)), "median change of depth in rooms"))
    else:
        bounds = [d["percentile_99_9"] for d in record["differences"] if d["output"] == "depth"]
        cards.append((_number(_largest(bounds)), "from PyTorch at most, 99.9 % of depth"))
    if record["runs"]:
        run = record["runs"][-1]
        cards.append((f"{run['median_ms']:.0f} ms", f"an image of {run['width']} x {run['height']} here"))
        cards.append((f"{run['peak_memory_bytes'] / 2**20:.0f} MiB", "memory for it, at most"))
    shown = "".join(f"<div class=card><b>{_text(value)}</b><span>{_text(name)}</span></div>" for value, name in cards)
    return f"<div class=cards>{shown}</div>"


def _facts(record: Mapping[str, Any]) -> str:
    model = record["model"]
    near, far = model["depth_range_m"]
    height, width = model["training_size_hw"]
    facts = [
        ("Weights", model["weights_file"] + (f", from {record['source']}" if record["source"] else "")),
        ("SHA-256 of the weights", model["weights_sha256"]),
        ("Depth range", f"{near:g} to {far:g} m, for a focal length of {model['canonical_focal_px']:g} px"),
        ("Image size", f"any; padded to multiples of {model['size_multiple']} px in the graph"),
        ("Trained at", f"{width} x {height}"),
        ("ONNX operator set", str(model["opset"])),
        (
            "Export, with verification",
            f"{record['export_s']:.0f} s, {record['export_peak_memory_bytes'] / 2**30:.1f} GiB of memory at most",
        ),
    ]
    cells = [[name, f"<code>{_text(text)}</code>" if "SHA" in name else _text(text)] for name, text in facts]
    return _table(["", ""], cells, numeric=())


def _tensors(differences: Sequence[Mapping[str, Any]]) -> str:
    outputs = dict.fromkeys(d["output"] for d in differences)
    rows = [("in", name, *_TENSORS[name]) for name in ("image", "focal_length")]
    rows += [("out", name, *_TENSORS[name]) for name in outputs]
    return _table(
        ["", "tensor", "type and shape", "meaning"], [[_text(cell) for cell in row] for row in rows], numeric=()
    )


def _differences(differences: Sequence[Mapping[str, Any]]) -> str:
    outputs = list(dict.fromkeys(d["output"] for d in differences))
    sizes = list(dict.fromkeys(d["batch_height_width"] for d in differences))
    found = {(d["batch_height_width"], d["output"]): d for d in differences}
    rows = []
    for size in sizes:
        cells = [_difference(found[size, output]) if (size, output) in found else "" for output in outputs]
        rows.append([_text(size), *cells])
    explained = (
        "<p>Of each output: what 99.9 % of the pixels are within, and the largest difference. "
        "Normals in degrees, all else as |a - b| / max(|b|, 1). The mean is in the JSON record.</p>"
    )
    head = ["N x H x W", *map(_text, outputs)]
    return explained + _table(head, rows, numeric=range(1, len(head)))


def _difference(difference: Mapping[str, Any]) -> str:
    unit = "&deg;" if difference["unit"] == "deg" else ""
    most, largest = (_number(difference[figure]) for figure in ("percentile_99_9", "max"))
    return f"{most}{unit} <span class=soft>max {largest}{unit}</span>"


def _guard(departures: Sequence[Mapping[str, Any]]) -> str:
    """Return the worst of each figure on each kind of image, and all of them folded up."""
    found: dict[tuple[str, str], dict[str, list[Mapping[str, Any]]]] = {}
    kinds = dict.fromkeys(_kind(d) for d in departures)
    for d in departures:
        found.setdefault((d["output"], d["figure"]), {}).setdefault(_kind(d), []).append(d)
    rows = []
    for (output, figure), by_kind in found.items():
        worst = [max(by_kind[kind], key=_badness) if kind in by_kind else None for kind in kinds]
        cells = ["" if d is None else f"{_judged(d)} <span class=soft>limit {_limit(d)}</span>" for d in worst]
        rows.append([_text(output), _text(figure), *cells])
    head = ["output", "figure", *(f"{_text(kind)}s" for kind in kinds)]
    everything = [[_text(d[key]) for key in ("case", "output", "figure")] + [_judged(d), _limit(d)] for d in departures]
    all_head = ["batch x height x width", "output", "figure", "value", "limit"]
    return (
        "<p>Against the float32 network, the worst of each kind of image: rendered rooms, patterns, and rooms where "
        "every float16 result was rounded, as on a device that fuses no operators.</p>"
        + _table(head, rows, numeric=range(2, len(head)))
        + f"<details><summary>All {len(departures)} figures</summary>"
        + f"{_table(all_head, everything, numeric=(3, 4))}</details>"
    )


def _kind(departure: Mapping[str, Any]) -> str:
    return str(departure["case"]).rstrip("0123456789 x")


def _judged(departure: Mapping[str, Any]) -> str:
    verdict = "good" if departure["acceptable"] else "bad"
    return f"<span class={verdict}>{_number(departure['value'])}{_text(departure['unit'])}</span>"


def _limit(departure: Mapping[str, Any]) -> str:
    return f"{departure['limit']:g}{_text(departure['unit'])}"


def _badness(departure: Mapping[str, Any]) -> float:
    value, limit = departure["value"], departure["limit"]
    return math.inf if value is None or not limit else value / limit


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"{r['width']} x {r['height']}",
            _text(r["provider"]),
            f"{r['median_ms']:.0f} ms",
            str(r["runs"]),
            f"{r['peak_memory_bytes'] / 2**20:.0f} MiB",
        ]
        for r in runs
    ]
    return _table(["image", "provider", "median time", "runs", "peak memory of the process"], rows, numeric=(2, 3, 4))


def _operators(operators: Mapping[str, int]) -> str:
    counted = sorted(operators.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{_text(name)} {count}" for name, count in counted)
    return f"<p>{sum(operators.values())} in all: {listed}.</p>"


def _section(title: str, body: str) -> str:
    return f"<h2>{_text(title)}</h2>{body}"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]], *, numeric: Sequence[int]) -> str:
    def line(cells: Iterable[str], tag: str) -> str:
        marked = (f"<{tag}{' class=n' if i in numeric else ''}>{cell}</{tag}>" for i, cell in enumerate(cells))
        return f"<tr>{''.join(marked)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    header = f"<thead>{line(head, 'th')}</thead>" if any(head) else ""
    return f"<div class=wide><table>{header}<tbody>{body}</tbody></table></div>"


def _text(text: str) -> str:
    return html.escape(str(text))


def _largest(values: Sequence[float | None]) -> float | None:
    """Return the largest; None, which stands for what is not finite, is larger than all."""
    return None if None in values else max((value for value in values if value is not None), default=None)


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"
