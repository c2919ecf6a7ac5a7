"""The export report as a page for people: one HTML file that needs nothing besides itself."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
"""


def make_page(record: Mapping[str, Any]) -> str:
    """Return the page of a report's JSON record (see `report.ExportReport.to_json`)."""
    model = record["model"]
    depth = [d for d in record["differences"] if d["output"] == "depth"]
    bounds = [d["percentile_99_9"] for d in depth]
    worst_depth = None if None in bounds else max(bounds, default=None)
    cards = [
        (model["precision"], "precision"),
        (f"{record['file_bytes'] / 1e6:.1f} MB", "file"),
        (_number(worst_depth), "depth, 99.9 % within"),
        (f"{record['export_peak_memory_bytes'] / 2**30:.1f} GiB", "peak memory at export"),
        (f"{record['export_s']:.0f} s", "to export and verify"),
    ]
    sections = [
        f"<h1>{_text(record['file'])}</h1><p class=sub>{_text(model['variant'])}, made by metric3d_ros "
        f"{_text(model['exporter_version'])}</p>",
        *_notes(record),
        "<div class=cards>" + "".join(f"<div class=card><b>{_text(b)}</b><span>{s}</span></div>" for b, s in cards),
        "</div>",
        _section("What it is", _facts(record)),
        _section("Difference from PyTorch, for every verified batch", _differences(record["differences"])),
    ]
    if record["guard"]:
        sections.append(_section("Departure from float32, and its limits", _guard(record["guard"])))
    if record["runs"]:
        sections.append(_section(f"On this machine ({record['machine']})", _runs(record["runs"])))
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
        notes.append(f"Kept although it departs from float32 too far: {record['degraded']}.")
    return [f"<p class=note>{_text(note)}</p>" for note in notes]


def _facts(record: Mapping[str, Any]) -> str:
    model = record["model"]
    near, far = model["depth_range_m"]
    height, width = model["training_size_hw"]
    facts = [
        ("Weights", model["weights_file"] + (f", from {record['source']}" if record["source"] else "")),
        ("SHA-256 of the weights", model["weights_sha256"]),
        ("Depth range", f"{near:g} to {far:g} m, for a focal length of {model['canonical_focal_px']:g} px"),
        ("Trained at", f"{width} x {height}; any size runs, padded to multiples of {model['size_multiple']} px"),
        ("ONNX operator set", str(model["opset"])),
    ]
    return _table(["", ""], [[name, f"<code>{_text(value)}</code>"] for name, value in facts], numeric=())


def _differences(differences: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            _text(d["output"]),
            _text(d["batch_height_width"]),
            *(_number(d[figure]) for figure in ("max", "percentile_99_9", "mean")),
            _text(d["unit"]),
        ]
        for d in differences
    ]
    return _table(["output", "batch x height x width", "max", "99.9 % within", "mean", "unit"], rows, numeric=(2, 3, 4))


def _guard(departures: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for d in departures:
        verdict = "<span class=good>within</span>" if d["acceptable"] else "<span class=bad>beyond</span>"
        value, limit = _number(d["value"]) + d["unit"], f"{d['limit']:g}{d['unit']}"
        rows.append([_text(d["output"]), _text(d["case"]), _text(d["figure"]), value, limit, verdict])
    return _table(["output", "batch x height x width", "figure", "value", "limit", ""], rows, numeric=(3, 4))


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


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"
