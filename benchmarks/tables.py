"""Fill the tables of README and docs from the result files.

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->`` (or ``<!-- /table:NAME -->``); what is
between them is replaced. Add a table to the file of its family in ``_tables/``, with a function that returns
Markdown, decorated with ``@table(NAME)``, and lines to the table of bars with ``@bars``. With ``--check`` nothing
is written and the exit status says whether anything would change.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

from _tables import TABLES

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n).*?(<!-- /table(?::[\w-]+)? -->)", re.DOTALL)

# The families, in the order in which their lines stand in the table of bars.
FAMILIES = (
    "scale",
    "linear",
    "sequence",
    "timed",
    "ranking",
    "pairwise",
    "metrics",
    "content",
    "pictures",
    "lightgnn",
    "auto",
    "vat",
    "denoising",
    "lorec",
    "lm",
    "explanations",
    "faults",
    "papers",
    "load",
    "overview",
)

# Imported by name, because import statements are sorted by the alphabet.
for _family in FAMILIES:
    import_module(f"_tables.{_family}")


def fill(text: str) -> str:
    """``text`` with every table rendered anew."""

    def replace(block: re.Match[str]) -> str:
        if block["name"] not in TABLES:
            raise SystemExit(f"There is no table {block['name']!r}. Known: {', '.join(sorted(TABLES))}.")
        return f"{block[1]}{TABLES[block['name']]()}\n{block[3]}"

    return _BLOCK.sub(replace, text)


def main() -> None:
    """Fill all pages, or check them."""
    check, stale = "--check" in sys.argv[1:], []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if not page.exists():
            continue
        before = page.read_text(encoding="utf-8")
        after = fill(before)
        if after != before:
            stale.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(after, encoding="utf-8")
    print("\n".join(stale) if stale else "All tables are up to date.")
    if check and stale:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
