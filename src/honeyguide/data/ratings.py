"""Questions about ratings: what a person had rated before, and the item of which the rating is asked.

Shapes: n questions, h ratings in the history of one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.data.columns import naming


@dataclass(frozen=True)
class RatingQuestions:
    """What each of ``n`` ratings is to be told from.

    Parameters
    ----------
    users, items
        int32 ``[n]``: whose rating, and of what.
    truth
        float32 ``[n]``: the rating that was given; models read it only where they are fitted.
    history
        Items rated strictly before, oldest first: what was rated in the same moment is not known yet.
    given
        float32 ``[sum of h]``: the ratings of ``history.values``.
    """

    users: IntArray
    items: IntArray
    truth: FloatArray
    history: Ragged
    given: FloatArray

    @classmethod
    def of(cls, data: Dataset, part: str, *, longest: int | None = None, least: int = 0) -> RatingQuestions:
        """One question for each rating of ``part``.

        The history is everything that the user rated strictly earlier, in whatever part that lies: what is known
        at the moment of the question.

        Parameters
        ----------
        data
            With ratings as ``label`` and a time or position for each.
        part
            ``train``, ``valid`` or ``test``.
        longest
            Ratings of the history that are kept, the latest ones; all by default.
        least
            Leave out questions with a shorter history.

        Raises
        ------
        DataError
            If there are no ratings, or no order.
        """
        frame = data.interactions
        if "label" not in frame.columns or frame["label"].null_count():
            raise DataError("there is not a rating for every event.", f"Name the column: {naming('label')}.")
        if not data.ordered:
            raise DataError("the events have no order.", f"Name a column of times: {naming('timestamp')}.")
        users, items = frame["user"].to_numpy(), frame["item"].to_numpy()
        labels = frame["label"].to_numpy().astype(np.float32)
        first, before = _earlier(users, data.times())
        wanted = np.ones(len(users), bool)
        if "split" in frame.columns:
            wanted = (frame["split"] == part).to_numpy()
        elif part != "train":
            wanted[:] = False
        chosen = np.flatnonzero(wanted & (before - first >= least))
        starts = first[chosen] if longest is None else np.maximum(first[chosen], before[chosen] - longest)
        lengths = before[chosen] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        history = Ragged(offsets, items[places])
        return cls(users[chosen], items[chosen], labels[chosen], history, labels[places])

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: npt.NDArray[np.integer]) -> RatingQuestions:
        """The questions at ``rows``, in that order."""
        places = self._places().take(rows)
        return RatingQuestions(
            self.users[rows], self.items[rows], self.truth[rows], self.history.take(rows), self.given[places.values]
        )

    def last(self, n: int) -> RatingQuestions:
        """The same questions with the latest ``n`` ratings of each history."""
        return replace(self, history=self.history.last(n), given=self.given[self._places().last(n).values])

    def _places(self) -> Ragged:
        """Lists of the places of ``given``."""
        return Ragged(self.history.offsets, np.arange(len(self.given), dtype=np.int32))


def _earlier(
    users: IntArray, times: npt.NDArray[np.int64] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each event, sorted by user and time, the first event of its user and the first that is not earlier."""
    rows = np.arange(len(users))
    new_user = np.ones(len(users), bool)
    new_user[1:] = users[1:] != users[:-1]
    new_time = np.ones(len(users), bool)
    if times is not None:
        new_time[1:] = new_user[1:] | (times[1:] != times[:-1])
    first = np.maximum.accumulate(np.where(new_user, rows, 0))
    return first, np.maximum.accumulate(np.where(new_time, rows, 0))
