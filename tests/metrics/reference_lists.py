"""Slow, plain loops over one list at a time: the definitions of families B, D, E and F, written down twice."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

NAN = float("nan")


@dataclass
class Case:
    """One user: a ranked list (already cut at k), graded truth, and what training knew."""

    listed: list[int]
    k: int
    grades: dict[int, float]  # item -> highest grade, relevant or judged
    lost: list[float]  # grades of relevant items that no list can hold
    history: list[int]
    counts: list[int]
    m: int
    similarity: list[list[float]]
    genres: list[list[float]]
    ages: list[float]
    short_list: str = "k"
    zero_for_empty: bool = False
    max_grade: float = 3.0
    hits: list[int] = field(init=False)

    def __post_init__(self):
        self.hits = [1 if self.grades.get(item, 0) > 0 else 0 for item in self.listed]

    @property
    def n_relevant(self):
        return sum(1 for g in self.grades.values() if g > 0) + sum(1 for g in self.lost if g > 0)

    def grade(self, rank):
        return self.grades[self.listed[rank]] if self.hits[rank] else 0.0

    def ideal(self):
        grades = [g for g in [*self.grades.values(), *self.lost] if g > 0]
        return sorted(grades, reverse=True)[: self.k]


def d(rank):
    return 1 / math.log2(rank + 2)


def precision_up_to(c, rank):
    return sum(c.hits[: rank + 1]) / (rank + 1)


def precision(c):
    under = c.k if c.short_list == "k" else len(c.listed)
    return sum(c.hits) / under if under else 0.0


def recall(c):
    return sum(c.hits) / c.n_relevant


def f1(c):
    p, r = precision(c), recall(c)
    return 2 * p * r / (p + r) if p + r > 0 else 0.0


def mrr(c):
    for rank, h in enumerate(c.hits):
        if h:
            return 1 / (rank + 1)
    return 0.0


def precision_sum(c):
    return sum(precision_up_to(c, r) for r, h in enumerate(c.hits) if h)


def map_elliot(c):
    padded = c.hits + [0] * (c.k - len(c.hits))
    return sum(sum(padded[:n]) / n for n in range(1, c.k + 1)) / c.k


def mar_elliot(c):
    padded = c.hits + [0] * (c.k - len(c.hits))
    return sum(sum(padded[:n]) / c.n_relevant for n in range(1, c.k + 1)) / c.k


def dcg(c, gain):
    return sum(gain(c.grade(r)) * d(r) for r, h in enumerate(c.hits) if h)


def ndcg(c, gain):
    return dcg(c, gain) / sum(gain(g) * d(r) for r, g in enumerate(c.ideal()))


def linear(g):
    return g


def exponential(g):
    return 2**g - 1


def rbp(c, p):
    return (1 - p) * sum(h * p**r for r, h in enumerate(c.hits))


def err(c):
    total, goes_on = 0.0, 1.0
    for r in range(len(c.listed)):
        satisfied = (2 ** c.grade(r) - 1) / 2**c.max_grade
        total += goes_on * satisfied / (r + 1)
        goes_on *= 1 - satisfied
    return total


def bpref(c):
    relevant = c.n_relevant
    judged = sum(1 for g in c.grades.values() if g <= 0)
    total = 0.0
    for r, h in enumerate(c.hits):
        if h:
            above = sum(1 for item in c.listed[:r] if item in c.grades and c.grades[item] <= 0)
            total += 1 - min(above, relevant) / min(judged, relevant) if above else 1.0
    return total / relevant


def q_measure(c):
    best, total, gain = c.ideal(), 0.0, 0.0
    for r, h in enumerate(c.hits):
        gain += c.grade(r)
        if h:
            total += (sum(c.hits[: r + 1]) + gain) / (r + 1 + sum(best[: r + 1]))
    return total / min(c.k, c.n_relevant)


def surprise(c, item):
    return -math.log2((c.counts[item] + 1) / sum(n + 1 for n in c.counts))


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else NAN


def novelty(c):
    return mean(surprise(c, item) for item in c.listed)


def ils(c):
    n = len(c.listed)
    return mean(c.similarity[c.listed[i]][c.listed[j]] for i in range(n) for j in range(i + 1, n))


def unlike(c, item):
    return 1 - (mean(c.similarity[item][j] for j in c.history) if c.history else 0.0)


def serendipity(c):
    total = sum(unlike(c, item) for item, h in zip(c.listed, c.hits, strict=True) if h)
    return total / len(c.listed) if c.listed else 0.0


def tail_items(counts, share=0.8):
    order = sorted(range(len(counts)), key=lambda i: (-counts[i], i))
    covered, tail = 0, set(order)
    for item in order:
        tail.discard(item)
        covered += counts[item]
        if covered >= share * sum(counts):
            break
    return tail


def aclt(c):
    return float(len(set(c.listed) & tail_items(c.counts)))


def discounted(c, worth):
    under = sum(d(r) for r in range(len(c.listed)))
    return sum(d(r) * worth(item) for r, item in enumerate(c.listed) if c.hits[r]) / under if under else 0.0


def calibration_kl(c):
    def shares(items):
        total = [0.0] * len(c.genres[0])
        for item in items:
            own = sum(c.genres[item])
            for g, weight in enumerate(c.genres[item]):
                total[g] += weight / own if own else 0.0
        whole = sum(total)
        return [t / whole for t in total] if whole else None

    p, q = shares(c.history), shares(c.listed)
    if p is None or q is None:
        return NAN
    return sum(a * math.log(a / (0.99 * b + 0.01 * a)) for a, b in zip(p, q, strict=True) if a > 0)


NEED_TRUTH = {
    "precision": precision,
    "recall": recall,
    "recall_capped": lambda c: sum(c.hits) / min(c.k, c.n_relevant),
    "f1": f1,
    "hit": lambda c: 1.0 if any(c.hits) else 0.0,
    "mrr": mrr,
    "arhr": lambda c: sum(h / (r + 1) for r, h in enumerate(c.hits)),
    "ap_min": lambda c: precision_sum(c) / min(c.k, c.n_relevant),
    "ap_hits": lambda c: precision_sum(c) / sum(c.hits) if any(c.hits) else 0.0,
    "ap_rel": lambda c: precision_sum(c) / c.n_relevant,
    "map_elliot": map_elliot,
    "mar_elliot": mar_elliot,
    "dcg": lambda c: dcg(c, linear),
    "dcg_exp": lambda c: dcg(c, exponential),
    "ndcg": lambda c: ndcg(c, linear),
    "ndcg_exp": lambda c: ndcg(c, exponential),
    "ndcg_binary": lambda c: sum(h * d(r) for r, h in enumerate(c.hits)) / sum(d(r) for r in range(len(c.ideal()))),
    "rbp80": lambda c: rbp(c, 0.8),
    "rbp90": lambda c: rbp(c, 0.9),
    "err": err,
    "bpref": bpref,
    "q_measure": q_measure,
    "serendipity": serendipity,
    "epc": lambda c: discounted(c, lambda i: 1 - c.counts[i] / c.m),
    "efd": lambda c: discounted(c, lambda i: -math.log2(max(c.counts[i], 1) / sum(c.counts))),
}
NEED_NO_TRUTH = {
    "novelty": novelty,
    "novelty_history": lambda c: novelty(c) - mean(surprise(c, item) for item in c.history),
    "ils": ils,
    "diversity": lambda c: 1 - ils(c),
    "freshness": lambda c: mean(1.0 if c.ages[item] <= 30 else 0.0 for item in c.listed),
    "arp": lambda c: mean(c.counts[item] for item in c.listed),
    "aclt": aclt,
    "aplt": lambda c: aclt(c) / len(c.listed) if c.listed else NAN,
    "unexpectedness": lambda c: mean(unlike(c, item) for item in c.listed),
    "calibration_kl": calibration_kl,
}


def per_user(name, case):
    """One metric for one user, with the convention for empty truths."""
    if name in NEED_NO_TRUTH:
        return NEED_NO_TRUTH[name](case)
    if case.n_relevant == 0:
        return 0.0 if case.zero_for_empty else NAN
    return NEED_TRUTH[name](case)


def exposure(cases):
    counts = [0] * len(cases[0].counts)
    for c in cases:
        for item in c.listed:
            counts[item] += 1
    return counts


def entropy(cases):
    shown = exposure(cases)
    total = sum(shown)
    return -sum(n / total * math.log2(n / total) for n in shown if n) if total else NAN


def entropy_elliot(cases):
    shown, served = exposure(cases), [c for c in cases if c.listed]
    if not served:
        return NAN
    total = 0.0
    for item, n in enumerate(shown):
        if n:
            weight = mean(c.listed.count(item) / len(c.listed) for c in served)
            total -= weight * math.log2(n / sum(shown))
    return total


def gini_sum(cases):
    shown = sorted(exposure(cases))
    n, total = len(shown), sum(shown)
    return sum((2 * j - n - 1) * shown[j - 1] / total for j in range(1, n + 1)) if total else NAN


def variation(parts, wholes):
    if min(wholes) <= 0 or sum(parts) == 0:
        return NAN
    rates = [a / b for a, b in zip(parts, wholes, strict=True)]
    middle = sum(rates) / 2
    return math.sqrt(sum((r - middle) ** 2 for r in rates) / 2) / middle


def popreo(cases):
    tail = tail_items(cases[0].counts)
    found, relevant = [0, 0], [0, 0]
    for c in cases:
        for item, grade in c.grades.items():
            if grade > 0:
                relevant[item in tail] += 1
                found[item in tail] += item in c.listed
    return variation(found, relevant)


def poprsp(cases):
    tail = tail_items(cases[0].counts)
    shown, available = [0, 0], [0, 0]
    for c in cases:
        for item in range(len(c.counts)):
            available[item in tail] += item not in c.history
            shown[item in tail] += item in c.listed
    return variation(shown, available)


AGGREGATES = {
    "catalogue_coverage": lambda cs: sum(1 for n in exposure(cs) if n) / len(cs[0].counts),
    "distributional_coverage": entropy,
    "user_coverage": lambda cs: sum(1 for c in cs if c.listed) / len(cs),
    "item_coverage": lambda cs: sum(1 for n in exposure(cs) if n),
    "entropy": entropy,
    "entropy_elliot": entropy_elliot,
    "gini": lambda cs: 1 - gini_sum(cs) / (len(cs[0].counts) - 1),
    "gini_index": lambda cs: gini_sum(cs) / len(cs[0].counts),
    "popreo": popreo,
    "poprsp": poprsp,
}


def kendall_lists(a, b):
    shared = [x for x in a if x in b]
    if len(shared) < 2:
        return NAN
    balance = 0
    for i in range(len(shared)):
        for j in range(i + 1, len(shared)):
            balance += 1 if b.index(shared[i]) < b.index(shared[j]) else -1
    return balance / (len(shared) * (len(shared) - 1) / 2)


def jaccard_lists(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b)) if a or b else 1.0


def rbo(a, b, p):
    """Webber, Moffat & Zobel 2010, equation 32, with the overlap counted anew at every depth."""
    short, long = sorted((a, b), key=len)
    s, length = len(short), len(long)
    if length == 0:
        return NAN
    overlap = {n: len(set(short[:n]) & set(long[:n])) for n in range(length + 1)}
    total = sum(overlap[n] / n * p**n for n in range(1, length + 1))
    total += sum(overlap[s] * (n - s) / (s * n) * p**n for n in range(s + 1, length + 1)) if s else 0.0
    ends = (overlap[length] - overlap[s]) / length + (overlap[s] / s if s else 0.0)
    return (1 - p) / p * total + ends * p**length


def personalisation(lists):
    lists = [row for row in lists if row]
    n = len(lists)
    if n < 2:
        return NAN
    pairs = [jaccard_lists(lists[i], lists[j]) for i in range(n) for j in range(i + 1, n)]
    return 1 - sum(pairs) / len(pairs)
