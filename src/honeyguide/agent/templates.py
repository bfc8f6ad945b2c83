"""How people say what they want of a feed: several ways for every kind of want, for simulated users.

Written from how people talk, not from the phrases of the grammar, which does not know all of them.
``{v}`` is a value, ``{n}`` a number, ``{u}`` its unit, ``{m}`` the noun of a field, ``{c}`` a comparative, ``{o}`` a
place in the feed.
"""

from __future__ import annotations

from honeyguide.agent.preferences import Relation

NAME: dict[tuple[bool, bool], tuple[str, ...]] = {  # (positive, hard)
    (False, True): (
        "no {v}", "no more {v} please", "please don't show me {v}", "nothing with {v}", "skip the {v}", "hide {v}",
        "I can't stand {v}", "without any {v}", "never show me {v}", "stop showing me {v}", "anything but {v}",
        "leave out {v}", "absolutely no {v}", "{v} is out of the question",
    ),
    (False, False): (
        "less {v}", "a bit less {v}", "I'm tired of {v}", "not so much {v}", "too much {v}", "fewer {v} ones",
        "I'm not in the mood for {v}", "I've had enough of {v}", "not too much {v} please", "I don't really like {v}",
        "rather not {v}", "could we tone down the {v}",
    ),
    (True, False): (
        "more {v}", "something with {v}", "I'm in the mood for {v}", "I'd like some {v}", "show me {v}",
        "how about {v}", "a little more {v}", "give me {v}", "I love {v}", "maybe some {v}", "I feel like {v}",
        "{v} would be nice", "where is the {v}",
    ),
    (True, True): (
        "only {v}", "show me only {v}", "nothing but {v}", "it has to be {v}", "strictly {v}", "just {v}",
        "must be {v}", "always {v}", "only {v} from now on",
    ),
}  # fmt: skip
PERSON: dict[tuple[bool, bool], tuple[str, ...]] = {
    (False, True): ("nothing by {v}", "no {v}", "not by {v}"),
    (False, False): ("less {v}", "fewer by {v}", "I'm tired of {v}"),
    (True, False): ("more {v}", "I like {v}"),
    (True, True): ("by {v}", "something by {v}", "only {v}"),
}
BELOW: dict[str, tuple[tuple[str, Relation], ...]] = {  # by what a field is called
    "year": (("before {n}", "<"), ("older than {n}", "<"), ("nothing after {n}", "<="), ("made before {n}", "<")),
    "": (("under {n} {u}", "<"), ("less than {n} {u}", "<"), ("at most {n} {u}", "<="), ("nothing over {n} {u}", "<=")),
}
ABOVE: dict[str, tuple[tuple[str, Relation], ...]] = {
    "year": (("after {n}", ">"), ("newer than {n}", ">"), ("nothing before {n}", ">="), ("since {n}", ">=")),
    "": (
        ("over {n} {u}", ">"),
        ("more than {n} {u}", ">"),
        ("at least {n} {u}", ">="),
        ("nothing under {n} {u}", ">="),
    ),
}
DECADE = ("from the {n}s", "in the {n}s", "{n}s only", "something from the {n}s")
COMPARED = ("{c}", "something {c}", "{c} please", "show me {c} ones")
LIKE = {
    (True, False): ("more like the {o} one", "something like the {o} one", "like the {o}"),
    (False, False): ("not like the {o} one", "nothing like the {o} one", "less like the {o} one"),
    (False, True): ("hide the {o} one", "remove the {o} one", "skip the {o} one"),
}
RETRACT = (
    "{v} is fine again", "forget about {v}", "I don't mind {v}", "never mind {v}", "{v} is okay after all",
    "drop the {v} rule", "you can show {v} again",
)  # fmt: skip
RETRACT_BOUND = (
    "forget the {m} limit",
    "never mind the {m}",
    "drop the {m} limit",
    "no limit on {m}",
    "any {m} is fine",
)
JOINED = ("{a}, {b}", "{a} and {b}", "{a} but {b}", "{a}. {b}", "{a}, also {b}")
OPENINGS = ("", "", "", "", "hmm, ", "ok, ", "please, ", "actually, ")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
UNITS = {"page": "pages", "runtime": "minutes", "price": "dollars", "rating": "stars"}  # by what a field is called
NOUNS = {"page": "page", "runtime": "length", "price": "price", "rating": "rating", "year": "year"}
