"""What pictures of items add, and what the bridge from pictures to words can tell."""

from __future__ import annotations

from typing import Any

from _tables import MISSING, digits, made_by, markdown, table
from result_file import read_result

_PARTS = ("warm", "cold alone", "cold")


def _cell(found: dict[str, Any], part: str) -> str:
    """Recall / NDCG, and of several seeds the interval of the latter."""
    shown = " / ".join(digits(found["metrics"][f"{part} {m}@10"]) for m in ("recall", "ndcg"))
    interval = found["over_seeds"].get(f"{part} ndcg@10")
    return shown + (f" ({digits(interval[0])}–{digits(interval[1])})" if interval else "")


@table("pictures")
def models() -> str:
    """Every system on warm items, on cold ones among themselves, and on both in one list."""
    result = read_result("pictures")
    if result is None:
        return MISSING
    rows = []
    for name, found in result["results"]["models"].items():
        chosen = found["chosen"].get("weight")
        label = name + (f" (weight of the text {chosen:g})" if chosen is not None and "+" in name else "")
        rows.append([label, *(_cell(found, part) for part in _PARTS), f"{found['fit_cpu_seconds']:.1f}"])
    head = ["model", "warm: Recall@10 / NDCG@10", "cold ranked alone", "cold among all", "fit, CPU-s"]
    return markdown(head, rows) + f"\n\n{result['dataset']}." + made_by(result)


@table("pictures-tests")
def tests() -> str:
    """Pictures beside the same without them."""
    result = read_result("pictures")
    if result is None or "tests" not in result["results"]:
        return MISSING
    rows = [
        [row["model"], row["beside"], row["on"], f"{row['difference']:+.4f}", f"{row['p_holm']:.2g}"]
        for row in result["results"]["tests"]
    ]
    return markdown(["with pictures", "beside", "on", "NDCG@10", "p (Holm)"], rows, words=3) + made_by(result)


@table("pictures-taken")
def taken() -> str:
    """Cold films ranked among those that somebody took, by what reads content alone."""
    result = read_result("pictures")
    found = dict((result or {"results": {}})["results"].get("cold films that somebody took", {}))
    if result is None or not found:
        return MISSING
    films = found.pop("films")
    rows = [[name, digits(value)] for name, value in found.items()]
    return markdown(["model", f"NDCG@10 among the {films:,} cold films that somebody took"], rows) + made_by(result)


@table("pictures-bridge")
def bridge() -> str:
    """Area under the curve of finding the films of a genre by their poster."""
    result = read_result("pictures")
    if result is None or "bridge" not in result["results"]:
        return MISSING
    found = result["results"]["bridge"]
    rows = [
        [genre, f"{cell['films']:,}", f"{cell['bridge']:.3f}", f"{cell['probe']:.3f}"]
        for genre, cell in sorted(found["genres"].items(), key=lambda pair: -pair[1]["films"])
    ]
    said = (
        f"A title finds its own poster among the first ten of {found['posters']:,} for "
        f"{found['title finds its poster in the first 10']:.2%} of the films ({found['by chance']:.2%} by chance); "
        f"its mean place is at {found['mean place, as a share']:.0%} of the list (50% by chance). The likeliest class "
        f"has a probability of {found['likeliest class, mean probability']:.2f} on average. The encoder reads "
        f"{found['pictures_per_cpu_second']:.0f} posters in a CPU-second."
    )
    head = ["genre", "films", "bridge: AUC of 'a GENRE film'", "linear probe of the features: AUC"]
    return markdown(head, rows) + f"\n\n{said}" + made_by(result)
