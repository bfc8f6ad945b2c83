"""The phrases of the grammar of commands: cues, bounds, ordinals, and words that say nothing."""

from __future__ import annotations

from honeyguide.agent.lexicon import words_of
from honeyguide.agent.preferences import Relation

CUES: tuple[tuple[str, bool, bool], ...] = (  # the longest first, within a length the order is of no account
    ("nothing but", True, True),
    ("nothing too", False, False),
    ("nothing that is", False, True),
    ("anything but", False, True),
    ("everything but", False, True),
    ("everything except", False, True),
    ("not too much", False, False),
    ("not so much", False, False),
    ("not so many", False, False),
    ("not as much", False, False),
    ("not too many", False, False),
    ("not too", False, False),
    ("not so", False, False),
    ("not really into", False, False),
    ("not into", False, False),
    ("not a fan of", False, False),
    ("not in the mood for", False, False),
    ("not interested in", False, False),
    ("tired of", False, False),
    ("bored of", False, False),
    ("bored with", False, False),
    ("sick of", False, False),
    ("enough of", False, False),
    ("too much", False, False),
    ("too many", False, False),
    ("don't really like", False, False),
    ("don't like", False, False),
    ("don't care for", False, False),
    ("don't enjoy", False, False),
    ("do not like", False, False),
    ("dislike", False, False),
    ("rather not", False, False),
    ("less", False, False),
    ("fewer", False, False),
    ("a bit less", False, False),
    ("tone down", False, False),
    ("don't show me any", False, True),
    ("don't show me", False, True),
    ("don't show", False, True),
    ("do not show me", False, True),
    ("do not show", False, True),
    ("don't want any", False, True),
    ("don't want", False, True),
    ("do not want", False, True),
    ("don't recommend", False, True),
    ("can't stand", False, True),
    ("stop showing me", False, True),
    ("stop showing", False, True),
    ("stop recommending", False, True),
    ("stop with the", False, True),
    ("no more", False, True),
    ("never show me", False, True),
    ("never", False, True),
    ("not any", False, True),
    ("nothing", False, True),
    ("without any", False, True),
    ("without", False, True),
    ("except for", False, True),
    ("except", False, True),
    ("excluding", False, True),
    ("exclude", False, True),
    ("leave out", False, True),
    ("hide", False, True),
    ("skip", False, True),
    ("remove", False, True),
    ("avoid", False, True),
    ("keep away from", False, True),
    ("stay away from", False, True),
    ("away with", False, True),
    ("ban", False, True),
    ("block", False, True),
    ("hate", False, True),
    ("no", False, True),
    ("not", False, True),
    ("only show me", True, True),
    ("only show", True, True),
    ("show me only", True, True),
    ("show only", True, True),
    ("must be", True, True),
    ("has to be", True, True),
    ("have to be", True, True),
    ("needs to be", True, True),
    ("always", True, True),
    ("strictly", True, True),
    ("exclusively", True, True),
    ("only", True, True),
    ("just", True, True),
    ("a bit more", True, False),
    ("a little more", True, False),
    ("some more", True, False),
    ("lots of", True, False),
    ("plenty of", True, False),
    ("more of the", True, False),
    ("more of", True, False),
    ("more", True, False),
    ("in the mood for", True, False),
    ("looking for", True, False),
    ("interested in", True, False),
    ("fan of", True, False),
    ("prefer", True, False),
    ("like", True, False),
    ("love", True, False),
    ("enjoy", True, False),
    ("want", True, False),
    ("show me", True, False),
    ("give me", True, False),
    ("find me", True, False),
    ("recommend", True, False),
    ("something", True, False),
    ("some", True, False),
)
HEADS = sorted(((tuple(cue.split()), positive, hard) for cue, positive, hard in CUES), key=lambda c: -len(c[0]))
IDLE = frozenset(
    words_of(
        "i i'm i'd i'll i've im am a an the me my to of for with on in at it its it's is are be was that this "
        "these those please now today really very quite so also too then can could would should will you your "
        "do does let's lets maybe perhaps kind kinds sort bit little lot any all ones one stuff things thing "
        "items item list feed results books book movies movie films film products product titles title by "
        "from about than as or and there been being have has had get got go going see seeing show give make "
        "something some anything everything recommendations recommendation suggestions options again up here "
        "them they we us our what which who when while much many such other others instead actually ok okay "
        "well hi hello hey thanks thank feel feeling mood published written directed released made releases "
        "similar tag try how read watch buy set starring called hm hmm um uh oh er where absolutely "
    )
)
UNDO = ("undo", "undo that", "take that back", "go back", "revert", "revert that", "not what i meant")
CLEAR = (
    "start over", "reset", "reset everything", "forget everything", "clear", "clear all", "clear everything",
    "start again", "start from scratch", "forget all that", "forget all of that", "never mind all that",
    "from the beginning",
)  # fmt: skip
FREE = (
    "forget about", "forget", "drop", "never mind", "ignore", "lift", "remove the limit on", "don't mind",
    "do not mind", "don't care about", "no limit on", "no need for", "scrap", "cancel", "stop filtering",
    "you can show me", "you can show",
)  # fmt: skip
FINE = (
    "is fine", "are fine", "is ok", "are ok", "is okay", "are okay", "is allowed", "are allowed", "is back",
    "is good again",
)  # fmt: skip
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "last": -1, "1st": 1, "2nd": 2, "3rd": 3,
}  # fmt: skip
NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
BELOW = (
    "less than", "fewer than", "under", "below", "lower than", "cheaper than", "shorter than", "older than",
    "earlier than", "before", "smaller than",
)  # fmt: skip
AT_MOST = (
    "at most", "up to", "no more than", "not more than", "maximum", "max", "not over", "not above",
    "no longer than", "until",
)  # fmt: skip
ABOVE = (
    "more than", "over", "above", "higher than", "longer than", "newer than", "later than", "after",
    "greater than", "better than",
)  # fmt: skip
AT_LEAST = (
    "at least", "no less than", "not less than", "not under", "not below", "minimum", "min", "since", "from",
)  # fmt: skip
BOUNDS: list[tuple[tuple[str, ...], Relation]] = sorted(
    [
        *((tuple(text.split()), "<") for text in BELOW),
        *((tuple(text.split()), "<=") for text in AT_MOST),
        *((tuple(text.split()), ">") for text in ABOVE),
        *((tuple(text.split()), ">=") for text in AT_LEAST),
    ],
    key=lambda bound: -len(bound[0]),
)
SPOKEN = frozenset({"love", "hate", "enjoy", "want", "prefer"})  # cues only where somebody says so of themselves
SPEAKERS = frozenset(
    {"", "i", "i'd", "we", "we'd", "you", "to", "really", "also", "would", "do", "don't", "not", "rather"}
)
OR_MORE = frozenset({"up", "more", "less", "fewer", "better", "newer", "older", "above", "below", "under", "over"})
OPPOSITE: dict[Relation, Relation] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
TIMES = frozenset({"before", "after", "since", "until", "from", "older", "newer", "earlier", "later"})
