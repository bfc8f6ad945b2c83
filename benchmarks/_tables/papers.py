"""The claims of a paper, for the page of what it became: ``paper-NN`` for every paper with stored evidence."""

from __future__ import annotations

from functools import partial
from typing import Any

from _tables import markdown, table
from honeyguide.experiment.papers import PROFILES, evidence_file, shown
from honeyguide.experiment.planned import SEEDS
from honeyguide.experiment.records import read_json
from result_file import RESULTS


def _claims(stored: dict[str, Any]) -> str:
    """What was claimed, found and decided, and what must be known to read it."""
    rows, notes = [], []
    for e in stored["evidence"]:
        interval = f" [{shown(e['ci'][0])}, {shown(e['ci'][1])}]" if e["ci"] else ""
        rows.append([e["claim"], e["metric"], f"{shown(e['value'])}{interval}", str(e["floor"]), e["verdict"]])
        notes += [f"\n\n*{e['claim']}*: {e['note']}"] if e["note"] else []
    command = " ".join(stored["evidence"][0]["command"].split()[:3])
    where = f" and {', '.join(stored['devices'])}" if "devices" in stored else ""
    full = " --profile paper" if stored["profile"] == "paper" else ""
    made = f"\n\n`{command}{full}`, {stored['cpu_seconds']:.0f} CPU-seconds{where} in all"
    return markdown(("claim", "metric", "found", "to reach", "verdict"), rows, words=5) + "".join(notes) + made


def _paper(seed: int) -> str:
    found = [read_json(RESULTS / "papers" / evidence_file(seed, profile)) for profile in PROFILES]
    parts = [_claims(stored) for stored in found if stored and stored["evidence"]]
    return "\n\nIn full:\n\n".join(parts) or f"*Not measured yet: run `honeyguide reproduce {seed}`.*"


for _seed in SEEDS:
    table(f"paper-{_seed:02d}")(partial(_paper, _seed))
