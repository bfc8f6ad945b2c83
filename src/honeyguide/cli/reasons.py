"""Reasons on the command line: what a list rests on, what would change it, and both in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from honeyguide.cli import console

if TYPE_CHECKING:
    from honeyguide.core.ragged import IntArray
    from honeyguide.experiment.bundle import Bundle
    from honeyguide.explain.because import Because
    from honeyguide.lm.port import LM

Entry = dict[str, Any]


def add_reasons(
    bundle: Bundle,
    history: IntArray,
    codes: IntArray,
    entries: Sequence[Entry],
    verb: str | None,
    *,
    change: bool = False,
    lm: LM | None = None,
) -> None:
    """Write the reason of every entry of a list into it.

    Parameters
    ----------
    bundle
        The model and the titles.
    history
        Item codes of whom the list is for, oldest first.
    codes
        Item codes of the list.
    entries
        One for each code; written into.
    verb
        What people do with items.
    change
        Whether also what would take the item off the list.
    lm
        Says the reason; what it says is checked, and else the template stands.
    """
    from honeyguide.explain.because import because

    found = because(bundle.model, history, codes)
    for entry, reason in zip(entries, found, strict=True):
        entry["why"] = reason.sentence(lambda code: bundle.titles[code], verb)
        entry["evidence"] = bundle.item_ids.decode(reason.evidence).to_list()
        entry["verified"] = reason.verified
        entry["score_without"] = reason.score_without
        entry["rank_without"] = reason.rank_without
        if change:
            entry["change"] = _change(bundle, history, reason, len(entries))
    if lm is not None:
        _in_words(bundle, found, entries, verb, lm)


def _change(bundle: Bundle, history: IntArray, reason: Because, k: int) -> Entry | None:
    from honeyguide.explain.change import what_would_change

    found = what_would_change(bundle.model, history, reason.item, max(k, reason.rank))
    if not found.found:
        return None
    return {
        "items": bundle.item_ids.decode(found.removed).to_list(),
        "titles": [bundle.titles[code] for code in found.removed],
        "k": found.k,
        "rank_without": found.rank_without,
        "smallest": found.smallest,
    }


def _in_words(bundle: Bundle, found: Sequence[Because], entries: Sequence[Entry], verb: str | None, lm: LM) -> None:
    """The reasons as a language model says them, where that stands the check."""
    from honeyguide.explain.words import Facts, say

    titles = bundle.titles
    facts = [
        Facts(titles[r.item], tuple(titles[c] for c in r.evidence) if r.verified else (), entry["why"], verb)
        for entry, r in zip(entries, found, strict=True)
    ]
    said = say(facts, lm)
    for entry, one in zip(entries, said, strict=True):
        entry["why"], entry["said_by"] = one.text, one.by
    refused = [one.refused for one in said if one.refused is not None]
    if refused:
        console.notes().print(
            f"{len(refused)} of {len(said)} sentences of {lm.name} were not taken, the first because {refused[0]}.",
            style="yellow",
            markup=False,
        )


def proof(entry: Entry) -> str:
    """Where an item falls to without the evidence; nothing is said where all that is left scores the same."""
    if not entry["verified"]:
        return "-"
    return f"rank {entry['rank_without']:,}" if entry["rank_without"] > entry["rank"] else "lower score"


def print_proofs(entries: Sequence[Entry]) -> None:
    """How many reasons are verified, and what would change each item."""
    checked = sum(entry["verified"] for entry in entries)
    console.results().print(
        f"{checked} of {len(entries)} reasons are verified: without what they name the item's score falls; "
        "'without it' is the place it then falls to."
    )
    if not any("change" in entry for entry in entries):
        return
    rows = [[entry["rank"], entry["title"], *_told(entry["change"])] for entry in entries]
    heads = ["#", "title", "leaves the list without", "and stands at"]
    console.results().print(console.table("What would change it", heads, rows, numeric=1))


def _told(change: Entry | None) -> tuple[str, str]:
    if change is None:
        return "no few of the events", "-"
    certain = "" if change["smallest"] else " (none of these is superfluous)"
    return "; ".join(change["titles"]) + certain, f"rank {change['rank_without']:,}"
