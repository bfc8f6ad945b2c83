"""Models that read texts: items without training events, and what reading costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from _tables import MISSING, bar_line, bars, digits, made_by, markdown, table
from result_file import read_result

COLD_MODELS = ("popularity", "floor", "text-profile", "cold-map", "two-tower")


def cold_rows(result: dict[str, Any], models: Sequence[str]) -> list[list[str]]:
    """Recall / NDCG on cold items, on warm ones and on both, and of cold ones alone, by data and model."""
    rows = []
    for dataset, cells in result["results"].items():
        for model in (name for name in models if name in cells):
            cell = cells[model]
            parts = [
                " / ".join(digits(cell[p][f"{m}@10"]) for m in ("recall", "ndcg")) for p in ("cold", "warm", "all")
            ]
            alone = cell.get("cold among cold")
            parts.append(" / ".join(digits(alone[f"{m}@10"]) for m in ("recall", "ndcg")) if alone else "–")
            rows.append([dataset, model, *parts, f"{cell['fit_cpu_seconds']:.1f}"])
    return rows


def cold_table(models: Sequence[str]) -> str:
    """What models reach on items without training events, next to the others."""
    result = read_result("cold_items")
    if result is None:
        return MISSING
    header = ["data", "model", "cold: Recall@10 / NDCG@10", "warm", "all", "cold ranked alone", "fit, CPU-s"]
    rows = cold_rows(result, models)
    return markdown(header, rows) + made_by(result) if rows else MISSING


table("cold-items")(partial(cold_table, COLD_MODELS))
for _model in ("text-profile", "two-tower"):
    table(f"cold-{_model}")(partial(cold_table, (_model,)))


@bars
def cold_bars() -> list[list[str]]:
    """Cold items beside the mean-history cosine, and what they cost the warm ones of the base model."""
    result, lines = read_result("cold_items"), []
    for dataset, cells in result["results"].items() if result else ():
        if not {"floor", "text-profile", "cold-map"} <= cells.keys():
            continue
        ids = ("recall@10", "ndcg@10")
        gain = [cells["cold-map"]["cold"][m] / cells["text-profile"]["cold"][m] for m in ids]
        kept = [cells["cold-map"]["warm"][m] / cells["floor"]["warm"][m] for m in ids]
        shown = f"cold × {gain[0]:.2f} / {gain[1]:.2f}, warm × {kept[0]:.2f} / {kept[1]:.2f}"
        bar = "cold ≥ 1.2 × the text profile, warm ≥ .99 × the base"
        what = f"{dataset}, cold-map on floor: Recall@10 / NDCG@10"
        lines.append(bar_line(what, bar, shown, min(gain) >= 1.2 and min(kept) >= 0.99, result["command"]))
    return lines


@table("cold-frontier")
def cold_frontier() -> str:
    """What cold items reach at equal loss of the warm ones, and ranked among themselves."""
    result = read_result("cold_frontier")
    if result is None:
        return MISSING
    systems, rows = ("text-profile", "cold-map", "oracle"), []
    for dataset, found in result["results"].items():
        for name, cells in (*found["at loss"].items(), ("cold ones alone", found["cold alone"])):
            shown = [" / ".join(digits(cells[s][f"{m}@10"]) for m in ("recall", "ndcg")) for s in systems]
            base = cells["text-profile"]
            ratio = [f"{cells['cold-map'][m] / base[m]:.2f}" if base[m] else "–" for m in ("recall@10", "ndcg@10")]
            rows.append([dataset, name, *shown, " / ".join(ratio)])
    head = ["data", "warm items lose", *(f"{system}: Recall@10 / NDCG@10" for system in systems), "cold-map, times"]
    return markdown(head, rows, words=2) + made_by(result)


@bars
def frontier_bars() -> list[list[str]]:
    """Cold items beside the mean-history cosine at the same loss of the warm ones."""
    result, lines = read_result("cold_frontier"), []
    for dataset, found in result["results"].items() if result else ():
        for name, cells in (("at 1 % loss of warm ones", found["at loss"]["1%"]), ("alone", found["cold alone"])):
            base, ours = cells["text-profile"], cells["cold-map"]
            gain = [ours[m] / base[m] if base[m] else float("inf") for m in ("recall@10", "ndcg@10")]
            what = f"{dataset}, cold items {name}: Recall@10 / NDCG@10"
            reached = f"× {gain[0]:.2f} / {gain[1]:.2f}"
            lines.append(bar_line(what, "≥ 1.2 × the text profile", reached, min(gain) >= 1.2, result["command"]))
    return lines


@bars
def text_bars() -> list[list[str]]:
    """CPU-seconds of reading twelve thousand titles."""
    result = read_result("text_encoding")
    if result is None:
        return []
    found = result["results"].get("minilm titles")
    if found is None:
        return []
    first, cached = found["first"]["cpu_seconds"], found["cached"]["cpu_seconds"]
    what = f"{found['first']['texts']:,} titles with MiniLM, CPU-s; from the cache"
    return [bar_line(what, "≤ 110; ≤ 1", f"{first:.0f}; {cached:.2f}", first <= 110 and cached <= 1, result["command"])]


@table("text-encoding")
def text_encoding() -> str:
    """What reading the texts of a shop costs, first and from the cache."""
    result = read_result("text_encoding")
    if result is None:
        return MISSING
    rows = [
        [
            name,
            f"{found['first']['texts']:,}",
            f"{found['first']['cpu_seconds']:.1f}",
            f"{found['cached']['cpu_seconds']:.2f}",
            f"{found['first']['cache_bytes'] / 1e6:.1f}",
        ]
        for name, found in result["results"].items()
    ]
    return markdown(["encoder, what", "texts", "CPU-s", "from the cache", "cache, MB"], rows) + made_by(result)


@table("cold-bars")
def cold_bars_table() -> str:
    """The bars of cold items alone."""
    return markdown(["", "bar", "reached", "command"], cold_bars())
