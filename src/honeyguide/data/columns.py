"""Which column means what: names used in the wild, and the check that what is needed is there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence

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
# A single column of events with such a name is a time too; not every date is: those of a birth or a release are not.
_TIMES = re.compile(
    r"_(at|ts|time|timestamp|datetime)$"
    r"|^(order|purchase|event|transaction|click|view|visit|play|watch|listen|review|rating)_(date|day)$"
)
RESERVED = ("user", "item")  # names of codes


def match_columns(
    names: Sequence[str],
    wanted: Sequence[str],
    explicit: Mapping[str, str],
    file: str,
    audit: Audit,
    holds_times: Callable[[str], bool] = lambda _: True,
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
    holds_times
        Whether the values of a column look like times, asked of one that only sounds like it.

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
    if "timestamp" in wanted and "timestamp" not in found.values():
        times = [name for name in names if name not in found and _TIMES.search(_snake(name)) and holds_times(name)]
        if len(times) == 1:
            found[times[0]] = "timestamp"
            guessed.append(f"{times[0]} as timestamp")
        elif times:
            audit.note(f"{file}: one of {', '.join(times)} may be the time: {naming('timestamp')} says which")
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


def require(
    names: Sequence[str], needed: Sequence[str], available: Sequence[str], file: str, known_as: str | None = None
) -> None:
    """Check that every needed column is there.

    Parameters
    ----------
    names
        What is there.
    needed
        What has to be.
    available
        The columns of the file, for the message.
    file
        For the message.
    known_as
        Of a table beside the events: what these call its id.

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
        remedy = f"Say which one it is: {naming(missing[0], example)}."
        if known_as is not None:
            remedy = f"Rename the column of its ids to {known_as!r}, as the events call it, or to {missing[0]!r}."
        raise DataError(f"no column for {' and '.join(missing)}; the file has: {listed}.", remedy, file=file)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name.partition(":")[0]).casefold()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.partition(":")[0].casefold())
