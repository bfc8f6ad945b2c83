from __future__ import annotations

import threading

from honeyguide.core.dataset import Dataset
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.pipeline.stock import Stock


def test_a_condition_does_not_wait_while_texts_are_read(books: Dataset) -> None:
    stock = Stock(ItemKNN().fit(books), books.items, books.popularity("train"))
    found: list[int] = []
    with stock._text_lock:  # as while all texts are encoded
        asked = threading.Thread(
            target=lambda: found.append(int(stock.mask("authors contains king").sum())), daemon=True
        )
        asked.start()
        asked.join(20)
    assert found and 0 < found[0] < len(stock)
