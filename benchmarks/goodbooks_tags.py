"""The tags of the bundled books, put back to the books they belong to.

``python benchmarks/goodbooks_tags.py`` reads the whole sample (``goodbooks-sample`` under ``$HONEYGUIDE_DATA``), writes
the column ``tags`` of the bundled table anew, and says in ``benchmarks/results/goodbooks_tags.json`` what readers make
of it.

The table of genre weights has no ids. It lists most books in order of popularity and then, in the same order, the rest;
joined by position, nearly every book got the tags of another. Which books are the rest is not said, but both parts keep
their order, so there is one choice for each book: next row of the first part, or of the second. The choices that suit
authors, series and words of titles best are found by dynamic programming over all 10,000 books at once, in turn with
what is known of these; a book of whose row one cannot be sure gets no tags. Readers are not asked, and so can be the
judge: books that the same people read should have tags in common.

Shapes: n books or rows, g genres, f features.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

import honeyguide
from honeyguide.core.inner_product import unit
from honeyguide.data.load import load_data
from honeyguide.data.locate import locate
from result_file import write_result

FIRST = 8_167  # rows of the first part: what follows is popular again (1984, Animal Farm, The Fellowship of the Ring)
ROUNDS, SURE, COOL = 20, 0.8, 0.5  # COOL: features are not independent, so log-likelihoods say too much
BUNDLED = Path(honeyguide.__file__).parent / "data" / "bundled" / "goodbooks-mini" / "items.parquet"
Array = npt.NDArray[np.float64]
# What one knows without any table: where the search begins.
KNOWN = {
    "horror thriller": ("Stephen King", "Dean Koontz"),
    "romance": ("Nora Roberts", "Julia Quinn", "Kristen Ashley", "Abbi Glines", "Colleen Hoover"),
    "romance chick-lit": ("Danielle Steel", "Nicholas Sparks", "Sophie Kinsella"),
    "romance suspense": ("Sandra Brown", "Linda Howard"),
    "mystery thriller suspense": ("James Patterson", "Lee Child", "Dan Brown", "Clive Cussler", "Tom Clancy"),
    "mystery crime": ("Agatha Christie", "Janet Evanovich", "Michael Connelly", "Patricia Cornwell", "Karin Slaughter"),
    "thriller mystery crime": ("John Grisham", "Stieg Larsson"),
    "fantasy": ("Terry Pratchett", "Neil Gaiman", "Robert Jordan", "Brandon Sanderson", "Mercedes Lackey"),
    "fantasy young-adult": ("J.K. Rowling", "Rick Riordan", "Cassandra Clare"),
    "fantasy classics": ("C.S. Lewis", "J.R.R. Tolkien"),
    "science-fiction": ("Isaac Asimov", "Philip K. Dick", "Frank Herbert", "Robert A. Heinlein", "Orson Scott Card"),
    "science-fiction classics": ("Ray Bradbury", "H.G. Wells", "Jules Verne", "Aldous Huxley", "Kurt Vonnegut Jr."),
    "classics": (
        *("William Shakespeare", "Charles Dickens", "John Steinbeck", "Fyodor Dostoyevsky", "Leo Tolstoy"),
        *("Ernest Hemingway", "Mark Twain", "F. Scott Fitzgerald", "Oscar Wilde", "William Faulkner"),
    ),
    "classics romance": ("Jane Austen", "Charlotte Bronte"),
    "paranormal fantasy romance": ("J.R. Ward", "Sherrilyn Kenyon", "Charlaine Harris", "Laurell K. Hamilton"),
    "comics": ("Bill Watterson",),
    "comics graphic-novels": ("Brian K. Vaughan", "Robert Kirkman", "Alan Moore", "Bill Willingham"),
    "manga graphic-novels": ("Tite Kubo", "Masashi Kishimoto", "Tsugumi Ohba"),
    "historical-fiction": ("Bernard Cornwell", "Philippa Gregory", "Ken Follett", "Khaled Hosseini"),
    "nonfiction": ("Carl Sagan", "Jon Krakauer", "Michael Lewis"),
    "nonfiction psychology business": ("Malcolm Gladwell",),
    "nonfiction travel": ("Bill Bryson",),
    "nonfiction memoir": ("David Sedaris", "Anne Frank"),
    "history nonfiction biography": ("David McCullough", "Doris Kearns Goodwin", "Walter Isaacson"),
    "young-adult": ("Meg Cabot", "John Green", "Sarah Dessen"),
    "contemporary chick-lit": ("Jodi Picoult",),
    "christian religion": ("Max Lucado", "John Piper"),
    "philosophy": ("Friedrich Nietzsche", "Plato"),
}


def main() -> None:
    """Find the rows, judge them by readers, and write the table."""
    data = load_data("goodbooks-sample")
    books = pl.read_parquet(locate("goodbooks-sample").files["items"]).sort("item_id")
    lists = [tuple(tags or ()) for tags in books["tags"].to_list()]
    genres = sorted({tag for tags in lists for tag in tags})
    rows = np.array([[float(g in tags) for g in genres] for tags in lists])  # [n, g]
    features = features_of(books)
    chance, base = beginning(books, genres, rows), rows.mean(0)
    for _ in range(ROUNDS):
        found = best(scores(rows, chance, base))
        chance = learnt(features, rows[found], base)
    sure = certainty(scores(rows, chance, base), found, lists)
    kept = [list(lists[row]) if p >= SURE else [] for row, p in zip(found, sure, strict=True)]
    bundled = pl.read_parquet(BUNDLED)
    own = dict(zip(books["item_id"].to_list(), kept, strict=True))
    new = [own[book] for book in bundled["item_id"].to_list()]
    judged = {name: agreement(data, books, given) for name, given in (("joined by position", lists), ("here", kept))}
    bundled.with_columns(pl.Series("tags", new, pl.List(pl.String))).write_parquet(BUNDLED)
    write_result(
        "goodbooks_tags",
        {
            "books": books.height,
            "without_tags": sum(not tags for tags in kept),
            "bundled": bundled.height,
            "bundled_without_tags": sum(not tags for tags in new),
            "mean_certainty": float(sure.mean()),
            "agreement_of_neighbours": judged,
        },
        dataset="goodbooks-sample",
        split="none",
        protocol="mean cosine of a book's tags and those of the ten books nearest by cosine of who read them; "
        "books with 30 readers or more and with tags; readers were not used to find the rows",
        seeds=[0],
        config={"first": FIRST, "sure": SURE},
    )


def features_of(books: pl.DataFrame) -> sp.csr_matrix:
    """float64 CSR ``[n, f]``: authors, series and words of titles that two books have in common, by weight."""
    each = []
    for title, authors, series in books.select("title", "authors", "series").iter_rows():
        own = {f"author {name}": 3.0 for name in (authors or "").split(", ")}
        if series:
            own["series " + re.sub(r"[,#].*", "", series).strip().lower()] = 4.0
        own |= dict.fromkeys(re.findall(r"[a-z]{4,}", title.lower()), 1.0)
        each.append(own)
    counts = Counter(name for own in each for name in own)
    codes = {name: code for code, name in enumerate(name for name, n in counts.items() if n > 1)}
    entries = [(row, codes[name], w) for row, own in enumerate(each) for name, w in own.items() if name in codes]
    row, column, weight = zip(*entries, strict=True)
    return sp.csr_matrix((weight, (row, column)), shape=(len(each), len(codes)))


def beginning(books: pl.DataFrame, genres: list[str], rows: Array) -> Array:
    """``[n, g]``: the share of rows with a genre; for books of known authors and cookbooks, what they are known for."""
    found = np.tile(rows.mean(0), (books.height, 1)).clip(1e-4)
    by_author = {author: kinds.split() for kinds, authors in KNOWN.items() for author in authors}
    for book, (title, authors) in enumerate(books.select("title", "authors").iter_rows()):
        kinds = by_author.get((authors or "").split(", ")[0], [])
        if re.search(r"cookbook|cooking| recipes", title.lower()):
            kinds = ["cookbooks"]
        if kinds:
            found[book] *= 0.7
            found[book, [genres.index(kind) for kind in kinds]] = 0.75
    return found


def learnt(features: sp.csr_matrix, tags: Array, base: Array) -> Array:
    """``[n, g]``: the chance of every genre from those of *other* books with the same authors, series and words."""
    has = (features > 0).astype(np.float64)
    total, count = has.T @ tags, np.asarray(has.sum(0)).ravel()  # [f, g], [f]
    entry = features.tocoo()
    others = total[entry.col] - tags[entry.row]  # [entries, g]: a row must not speak for itself
    share = (others + 3 * base) / (count[entry.col, None] - 1 + 3)  # towards the mean
    odds = np.log(share / (1 - share)) - np.log(base / (1 - base))
    summed = np.zeros_like(tags)
    np.add.at(summed, entry.row, entry.data[:, None] * odds)
    weight = np.maximum(1.0, np.asarray(features.sum(1)) / 4)
    logit = np.log(base / (1 - base)) + summed / 2 / weight
    return (1 / (1 + np.exp(-logit))).clip(1e-3, 1 - 1e-3)


def scores(rows: Array, chance: Array, base: Array) -> Array:
    """float32 ``[n, n]``: log-likelihood ratio of row j being that of book i rather than any row."""
    odds = np.log(chance / (1 - chance)) - np.log(base / (1 - base))
    own = np.log(1 - chance).sum(1) - np.log(1 - base).sum()
    return (own[:, None] + odds @ rows.T).astype(np.float32)


def forward(given: Array, combine: np.ufunc) -> Array:
    """float64 ``[n + 1, first + 1]``: by books placed and rows of the first part used; the best, or the sum of all."""
    n = len(given)
    table = np.full((n + 1, FIRST + 1), -np.inf)
    table[0, 0] = 0.0
    for book in range(n):
        used = np.arange(max(0, book - (n - FIRST)), min(book, FIRST) + 1)
        stays = used[book - used < n - FIRST]
        table[book + 1, stays] = table[book, stays] + given[book, FIRST + book - stays]
        goes = used[used < FIRST]
        to = table[book, goes] + given[book, goes]
        table[book + 1, goes + 1] = combine(table[book + 1, goes + 1], to)
    return table


def best(given: Array) -> npt.NDArray[np.int64]:
    """int64 ``[n]``: the row of each book in the likeliest of all choices."""
    table, used = forward(given, np.maximum), FIRST
    found = np.empty(len(given), np.int64)
    for book in range(len(given) - 1, -1, -1):
        went = used > 0 and table[book + 1, used] == table[book, used - 1] + given[book, used - 1]
        used -= int(went)
        found[book] = used if went else FIRST + book - used
    return found


def certainty(given: Array, found: npt.NDArray[np.int64], lists: list[tuple[str, ...]]) -> Array:
    """``[n]``: how likely a book has the tags of the row that was found, over all choices, cooled."""
    given, n = (COOL * given).astype(np.float32), len(given)
    table = forward(given, np.logaddexp)
    after, sure = np.full(FIRST + 2, -np.inf), np.empty(n)
    after[FIRST] = 0.0
    for book in range(n - 1, -1, -1):
        used = np.arange(max(0, book - (n - FIRST)), min(book, FIRST) + 1)
        second = np.minimum(FIRST + book - used, n - 1)
        stays = np.where(book - used < n - FIRST, given[book, second] + after[used], -np.inf)
        goes = np.where(used < FIRST, given[book, np.minimum(used, FIRST - 1)] + after[used + 1], -np.inf)
        weight = np.concatenate([table[book, used] + goes, table[book, used] + stays])
        share = np.exp(weight - np.logaddexp.reduce(weight))
        same = [lists[row] == lists[found[book]] for row in (*used, *second)]
        sure[book] = share[same].sum()
        earlier = np.full(FIRST + 2, -np.inf)
        earlier[used] = np.logaddexp(stays, goes)
        after = earlier
    return sure


def agreement(data: honeyguide.Dataset, books: pl.DataFrame, tags: list[list[str]] | list[tuple[str, ...]]) -> float:
    """Mean cosine of the tags of books and of their neighbours by readers."""
    genres = sorted({tag for own in tags for tag in own})
    has = unit(np.array([[float(g in own) for g in genres] for own in tags], np.float32))
    place = {book: row for row, book in enumerate(books["item_id"].to_list())}
    has = has[[place[book] for book in data.item_ids.values.to_list()]]
    reads = data.matrix().T.tocsr()
    asked = np.flatnonzero((np.diff(reads.indptr) >= 30) & has.any(1))
    read = unit(np.asarray(reads[asked].todense(), np.float32))
    near = read @ read.T
    np.fill_diagonal(near, -1)
    ten = np.argpartition(-near, 10, axis=1)[:, :10]
    return float((has[asked][:, None] * has[asked][ten]).sum(2).mean())


if __name__ == "__main__":
    main()
