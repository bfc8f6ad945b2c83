"""Which column means what: names used in the wild, and the check that what is needed is there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from honeyguide.core.errors import DataError, suggestion
from honeyguide.data.report import Audit

# Names as they are found in public data sets and logs; earlier ones win. Compared without case,
# underscores and a type suffix such as ":token".
ALIASES: dict[str, tuple[str, ...]] = {
    "user_id": (
        *("user_id", "user", "uid", "user_idx", "user_no", "reviewer_id", "customer_id", "customer", "member_id"),
        *("account_id", "visitor_id", "visitor", "client_id", "subject_id", "person_id", "reader_id", "session_id"),
        *("session",),
    ),
    "item_id": (
        *("item_id", "item", "iid", "item_idx", "movie_id", "movie", "book_id", "product_id", "product"),
        *("parent_asin", "asin", "sku", "article_id", "stock_code", "song_id", "track_id", "artist_id"),
        *("video_id", "business_id", "location_id", "venue_id", "poi_id", "news_id", "content_id", "game_id"),
        *("recipe_id", "isbn"),
    ),
    "timestamp": (
        *("timestamp", "time", "ts", "datetime", "date", "event_time", "created_at", "unix_review_time"),
        *("unix_time", "utc_time", "t_dat", "invoice_date"),
    ),
    "position": ("position", "pos", "order", "sequence", "seq", "step"),
    "label": ("label", "rating", "score", "stars", "overall"),
    "event": ("event", "event_type", "action", "behavior", "behaviour", "interaction_type"),
    "weight": ("weight", "count", "plays", "play_count", "quantity", "qty"),
    "group_id": ("group_id", "basket_id", "cart_id", "order_id", "list_id", "trajectory_id"),
    "query_id": ("query_id",),
    "split": ("split", "part", "subset"),
    "positive": ("positive",),
}
RESERVED = ("user", "item")  # names of codes


def match_columns(
    names: Sequence[str], wanted: Sequence[str], explicit: Mapping[str, str], file: str, audit: Audit
) -> dict[str, str]:
    """Names in the file to names in honeyguide, for the columns that mean something.

    Parameters
    ----------
    names
        Columns of the file.
    wanted
        Meanings to look for.
    explicit
        Meaning to name in the file; wins over guessing.
    file
        For messages.
    audit
        Is told what was guessed.

    Raises
    ------
    DataError
        If a column named explicitly is not there.
    """
    found: dict[str, str] = {}
    for meaning, name in explicit.items():
        if name not in names:
            remedy = f"{suggestion(name, names)}Columns: {', '.join(names)}."
            raise DataError(f"there is no column {name!r} (for {meaning}).", remedy, file=file)
        found[name] = meaning
    taken = set(explicit)
    plain = {_plain(name): name for name in reversed(names) if name not in found}
    guessed = []
    for meaning in (m for m in wanted if m not in taken):
        match = next((plain[_plain(a)] for a in ALIASES.get(meaning, (meaning,)) if _plain(a) in plain), None)
        if match is not None and match not in found:
            found[match] = meaning
            if match != meaning:
                guessed.append(f"{match} as {meaning}")
    if guessed:
        audit.note(f"{file}: read column {', '.join(guessed)}")
    return found


_FLAGS = {
    "user_id": "--user-col",
    "item_id": "--item-col",
    "timestamp": "--time-col",
    "label": "--label-col",
    "weight": "--weight-col",
    "group_id": "--group-col",
    "split": "--split-col",
}


def naming(meaning: str, name: str = "NAME") -> str:
    """How one says which column has a meaning, as the middle of a remedy: on the command line, in Python, in a file."""
    flag = [f"{_FLAGS[meaning]} {name} on the command line"] if meaning in _FLAGS else []
    return ", ".join([*flag, f"columns={{{meaning!r}: {name!r}}} in Python"]) + ", or in dataset.toml"


def require(names: Sequence[str], needed: Sequence[str], available: Sequence[str], file: str) -> None:
    """Check that every needed column is there.

    Raises
    ------
    DataError
        If one is missing; names the columns there are and how to map them.
    """
    missing = [column for column in needed if column not in names]
    if missing:
        listed = ", ".join(available)
        near = difflib.get_close_matches(missing[0], available, n=1, cutoff=0.6)
        example = near[0] if near else "NAME"
        raise DataError(
            f"no column for {' and '.join(missing)}; the file has: {listed}.",
            f"Say which one it is: {naming(missing[0], example)}.",
            file=file,
        )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.partition(":")[0].casefold())
