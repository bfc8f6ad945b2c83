"""The published table of "Evaluating ChatGPT as a Recommender System" (arXiv 2309.03613), recomputed.

Its data set ships the split, the released recommendation lists and the released table of 20 metrics
at cut-off 10, as computed by Elliot. This module recomputes the table from the lists. What the
published numbers take for granted, found out by matching them:

- The evaluator's training part is every user's 230 highest-rated train items (ties by lower item id):
  the paper cut long profiles to fit the prompt. Popularity, the long tail and "seen" all follow from it.
- Items are coded in id order, so that ties at the border of the head fall to the lower id.
- Seen items are dropped first, then the list is cut at 10; repeated items stay.
- Elliot's nDCG gain is ``2^(rating + 1) − 1``: the grade handed to ``ndcg_exp`` is ``rating + 1``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import Evaluation, evaluate_lists
from honeyguide.metrics.lists import Conventions

PROFILE = 230
CUTOFF = 10
COLUMNS = {
    "nDCG": "ndcg_exp",
    "nDCGRendle2020": "ndcg_binary",
    "Recall": "recall",
    "Precision": "precision",
    "HR": "hit",
    "F1": "f1",
    "MAP": "map_elliot",
    "MAR": "mar_elliot",
    "MRR": "mrr",
    "ACLT": "aclt",
    "APLT": "aplt",
    "ARP": "arp",
    "PopREO": "popreo",
    "PopRSP": "poprsp",
    "ItemCoverage": "item_coverage",
    "UserCoverage": "user_coverage",
    "Gini": "gini",
    "SEntropy": "entropy",
    "EFD": "efd",
    "EPC": "epc",
}
"""Published column → metric id; UserCoverage is published as a number of users."""

TOLERANCE = 1e-3
