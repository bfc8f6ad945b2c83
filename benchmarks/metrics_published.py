"""The published table of 11 systems × 20 metrics at 10 on MovieLens-small, recomputed cell by cell.

Reads ``ml-small-2018`` and ``llm-answers-ml-small`` (without which ChatGPT's two rows are incomplete) under
HONEYGUIDE_DATA.
"""

from __future__ import annotations

import os
from pathlib import Path

from honeyguide.metrics.published import PROFILE, RERANK_PROFILE, TOLERANCE, published_check
from result_file import write_result


def main() -> None:
    """Compare and write ``benchmarks/results/metrics_published.json``."""
    root = os.environ.get("HONEYGUIDE_DATA")
    if not root:
        print("HONEYGUIDE_DATA is not set: nothing to compare with.")
        return
    cells = published_check(Path(root) / "ml-small-2018")
    compared = [cell for cell in cells if cell["ours"] is not None]
    reasons = {cell["system"]: cell["reason"] for cell in cells if cell["reason"]}
    summary = {
        "cells": len(cells),
        "compared": len(compared),
        "within_tolerance": sum(cell["holds"] for cell in cells),
        "largest_difference": max(abs(cell["difference"]) for cell in compared),
        "exceptions": reasons,
    }
    path = write_result(
        "metrics_published",
        {"summary": summary, "cells": cells},
        dataset="ml-small-2018",
        split="as released",
        protocol="released lists, seen items dropped, cut at 10, repeated items kept",
        seeds=[],
        config={"profile": PROFILE, "rerank_profile": RERANK_PROFILE, "tolerance": TOLERANCE},
    )
    print(summary)
    print(path)


if __name__ == "__main__":
    main()
