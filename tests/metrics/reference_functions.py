"""Slow, plain loops for the families that are called directly: A, C, F, G, H and I."""

from __future__ import annotations

import math
from itertools import product

NAN = float("nan")


def both(x, y):
    return [(a, b) for a, b in zip(x, y, strict=True) if not (math.isnan(a) or math.isnan(b))]


def cosine(x, y, otherwise=0.0):
    pairs = both(x, y)
    under = math.sqrt(sum(a * a for a, _ in pairs)) * math.sqrt(sum(b * b for _, b in pairs))
    return sum(a * b for a, b in pairs) / under if under > 0 else otherwise


def pearson(x, y):
    pairs = both(x, y)
    if len(pairs) < 2:
        return NAN
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    if len(set(a)) == 1 or len(set(b)) == 1:
        return NAN
    return cosine([v - sum(a) / len(a) for v in a], [v - sum(b) / len(b) for v in b])


def average_ranks(values):
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def spearman(x, y):
    pairs = both(x, y)
    return pearson(average_ranks([p[0] for p in pairs]), average_ranks([p[1] for p in pairs]))


def kendall(x, y):
    pairs = both(x, y)
    concordant = discordant = tied_x = tied_y = n = 0
    for i in range(len(pairs)):
        for j in range(i):
            n += 1
            one, two = pairs[i][0] - pairs[j][0], pairs[i][1] - pairs[j][1]
            tied_x += one == 0
            tied_y += two == 0
            concordant += one * two > 0
            discordant += one * two < 0
    under = (n - tied_x) * (n - tied_y)
    return (concordant - discordant) / math.sqrt(under) if under else NAN


def sets(a, b):
    return {i for i, v in enumerate(a) if v}, {i for i, v in enumerate(b) if v}


def jaccard(a, b):
    a, b = sets(a, b)
    return len(a & b) / len(a | b) if a | b else 1.0


def dice(a, b):
    a, b = sets(a, b)
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0


def weighted_jaccard(x, y):
    under = sum(max(p) for p in both(x, y))
    return sum(min(p) for p in both(x, y)) / under if under else 1.0


def over_known(function):
    return lambda x, y: function(both(x, y)) if both(x, y) else NAN


SIMILARITY = {
    "cosine": cosine,
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
    "weighted_jaccard": weighted_jaccard,
    "hamming": over_known(lambda ps: sum(a != b for a, b in ps) / len(ps)),
    "euclidean": over_known(lambda ps: math.sqrt(sum((a - b) ** 2 for a, b in ps))),
    "manhattan": over_known(lambda ps: sum(abs(a - b) for a, b in ps)),
    "chebyshev": over_known(lambda ps: max(abs(a - b) for a, b in ps)),
    "dot": lambda x, y: sum(a * b for a, b in both(x, y)),
    "msd": over_known(lambda ps: sum((a - b) ** 2 for a, b in ps) / len(ps)),
}


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else NAN


def r2(y, p):
    total = sum((a - mean(y)) ** 2 for a in y)
    return 1 - sum((a - b) ** 2 for a, b in zip(y, p, strict=True)) / total if total else NAN


def explained_variance(y, p):
    gaps = [a - b for a, b in zip(y, p, strict=True)]
    total = sum((a - mean(y)) ** 2 for a in y)
    return 1 - sum((g - mean(gaps)) ** 2 for g in gaps) / total if total else NAN


def rmse(y, p):
    return math.sqrt(mean((a - b) ** 2 for a, b in zip(y, p, strict=True)))


REGRESSION = {
    "mae": lambda y, p: mean(abs(a - b) for a, b in zip(y, p, strict=True)),
    "mse": lambda y, p: mean((a - b) ** 2 for a, b in zip(y, p, strict=True)),
    "rmse": rmse,
    "mape": lambda y, p: mean(abs(a - b) / abs(a) for a, b in zip(y, p, strict=True) if a != 0),
    "r2": r2,
    "explained_variance": explained_variance,
}


def concordance(y, p):
    right = n = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            if y[i] < y[j]:
                n += 1
                right += 1.0 if p[i] < p[j] else 0.5 if p[i] == p[j] else 0.0
    return right / n if n else NAN


def gauc(y, p, users):
    over = under = 0.0
    for user in set(users):
        rows = [i for i, u in enumerate(users) if u == user]
        value = concordance([float(y[i] > 0) for i in rows], [p[i] for i in rows])
        if not math.isnan(value):
            over += len(rows) * value
            under += len(rows)
    return over / under if under else NAN


def pr_auc(y, p):
    if not any(y):
        return NAN
    total = recall_before = 0.0
    for threshold in sorted(set(p), reverse=True):
        chosen = [label for label, score in zip(y, p, strict=True) if score >= threshold]
        recall = sum(chosen) / sum(y)
        total += (recall - recall_before) * sum(chosen) / len(chosen)
        recall_before = recall
    return total


def log_loss(y, p):
    def one(a, b):
        b = min(max(b, 1e-7), 1 - 1e-7)
        return -math.log(b) if a else -math.log(1 - b)

    return mean(one(a, b) for a, b in zip(y, p, strict=True))


def ece(y, p, bins=10):
    pairs = sorted((b, a) for a, b in zip(y, p, strict=True))
    n, start, total = len(pairs), 0, 0.0
    if n == 0:
        return NAN
    for b in range(bins):
        size = n // bins + (1 if b < n % bins else 0)
        part = pairs[start : start + size]
        start += size
        if part:
            total += size / n * abs(mean(a for _, a in part) - mean(b for b, _ in part))
    return total


def confusion(y, p, t=0.5):
    cells = dict.fromkeys(product((True, False), repeat=2), 0)
    for a, b in zip(y, p, strict=True):
        cells[a > 0, b >= t] += 1
    return cells[True, True], cells[False, True], cells[True, False], cells[False, False]


def share(part, whole):
    return part / whole if whole else NAN


def f_beta(y, p):
    tp, fp, fn, _ = confusion(y, p)
    return share(2 * tp, 2 * tp + fp + fn)


CLASSIFICATION = {
    "log_loss": log_loss,
    "auc": concordance,
    "pr_auc": pr_auc,
    "brier": lambda y, p: mean((a - b) ** 2 for a, b in zip(y, p, strict=True)),
    "ece": ece,
    "precision_at": lambda y, p: share(confusion(y, p)[0], confusion(y, p)[0] + confusion(y, p)[1]),
    "recall_at": lambda y, p: share(confusion(y, p)[0], confusion(y, p)[0] + confusion(y, p)[2]),
    "f_beta": f_beta,
    "accuracy": lambda y, p: share(confusion(y, p)[0] + confusion(y, p)[3], len(y)),
    "specificity": lambda y, p: share(confusion(y, p)[3], confusion(y, p)[3] + confusion(y, p)[1]),
    "concordance": concordance,
}


def by_group(values, groups):
    found = {}
    for v, g in zip(values, groups, strict=True):
        if g >= 0 and not math.isnan(v):
            found.setdefault(g, []).append(v)
    return list(found.values())


def group_gap(values, groups):
    means = [mean(g) for g in by_group(values, groups)]
    return max(means) - min(means) if len(means) > 1 else NAN


def group_ratio(values, groups):
    means = [mean(g) for g in by_group(values, groups)]
    if len(means) < 2:
        return NAN
    return min(means) / max(means) if max(means) else 1.0


def entropy(shares):
    return -sum(s * math.log2(s) for s in shares if s > 0)


def group_js(values, groups, bins=20):
    rows = []
    for members in by_group(values, groups):
        row = [0.0] * bins
        for v in members:
            row[min(int(v * bins), bins - 1)] += 1 / len(members)
        rows.append(row)
    if len(rows) < 2:
        return NAN
    mixture = [mean(column) for column in zip(*rows, strict=True)]
    return (entropy(mixture) - mean(entropy(r) for r in rows)) / math.log2(len(rows))


def robustness_drop(clean, perturbed):
    pairs = both(clean, perturbed)
    base = mean(a for a, _ in pairs)
    return (base - mean(b for _, b in pairs)) / base if pairs and base else NAN


def retention(last, observed, n):
    cohort = [a for a, o in zip(last, observed, strict=True) if o >= n]
    return share(sum(a >= n for a in cohort), len(cohort))


def by_session(values, sessions):
    found = {}
    for v, s in zip(values, sessions, strict=True):
        found.setdefault(s, []).append(v)
    return found


def session_length(times, sessions):
    return mean(max(t) - min(t) for t in by_session(times, sessions).values())


def time_to_first_click(times, sessions, clicked):
    waits = []
    for members in by_session(list(zip(times, clicked, strict=True)), sessions).values():
        clicks = [t for t, c in members if c]
        if clicks:
            waits.append(min(clicks) - min(t for t, _ in members))
    return mean(waits)


def variance(values):
    return sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1)


def lift(a, b, z):
    x, y = mean(a), mean(b)
    if not a or not b or y == 0:
        return NAN, NAN, NAN
    value = x / y - 1
    if min(len(a), len(b)) < 2:
        return value, NAN, NAN
    margin = z * math.sqrt(variance(a) / len(a) / y**2 + x**2 * variance(b) / len(b) / y**4)
    return value, value - margin, value + margin


def cuped(y, x):
    spread = sum((v - mean(x)) ** 2 for v in x)
    theta = sum((v - mean(x)) * (w - mean(y)) for v, w in zip(x, y, strict=True)) / spread if spread else 0.0
    return [w - theta * (v - mean(x)) for v, w in zip(x, y, strict=True)]


def sequential(a, b, tau):
    best, found = 1.0, []
    for n in range(1, len(a) + 1):
        if n >= 2:
            v = (variance(a[:n]) + variance(b[:n])) / n
            if v > 0:
                delta = mean(a[:n]) - mean(b[:n])
                ratio = math.sqrt(v / (v + tau**2)) * math.exp(tau**2 * delta**2 / (2 * v * (v + tau**2)))
                best = min(best, 1 / ratio)
        found.append(best)
    return found


def switch_dr(reward, action, logged, target, predicted, threshold):
    found = []
    for r, a, mu, pi, q in zip(reward, action, logged, target, predicted, strict=True):
        value = sum(x * y for x, y in zip(pi, q, strict=True))
        w = pi[a] / mu
        found.append(value + (w * (r - q[a]) if w <= threshold else 0.0))
    return found


def sign_test(d):
    wins, losses = sum(v > 0 for v in d), sum(v < 0 for v in d)
    n = wins + losses
    if not d:
        return NAN
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(min(wins, losses) + 1)) / 2**n) if n else 1.0


def wilcoxon(d):
    """Exact by enumeration of all signs without ties, else the normal approximation."""
    d = [v for v in d if v != 0]
    ranks = average_ranks([abs(v) for v in d])
    seen, middle = sum(r for r, v in zip(ranks, d, strict=True) if v > 0), sum(ranks) / 2
    if len(set(ranks)) == len(ranks):
        sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in product((0, 1), repeat=len(d))]
        return sum(abs(s - middle) >= abs(seen - middle) for s in sums) / len(sums)
    n = len(d)
    ties = [ranks.count(r) for r in set(ranks)]
    spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24 - sum(t**3 - t for t in ties) / 48)
    return math.erfc(abs(seen - middle) / spread / math.sqrt(2))


def holm(ps):
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    found, highest = [0.0] * len(ps), 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[i]))
        found[i] = highest
    return found


def benjamini_hochberg(ps):
    return [min(1.0, *(len(ps) * q / sum(r <= q for r in ps) for q in ps if q >= p), 1.0) for p in ps]


def cliffs_delta(a, b):
    if not a or not b:
        return NAN
    return sum((x > y) - (x < y) for x in a for y in b) / (len(a) * len(b))


def cohen_dz(d):
    if len(d) < 2:
        return NAN
    spread = math.sqrt(variance(d))
    return mean(d) / spread if spread else 0.0


def target_hit_rate(row, targets, eligible, k):
    """One user: the share of the eligible targets among the first k."""
    own = [t for t, e in zip(targets, eligible, strict=True) if e]
    return sum(t in row[:k] for t in own) / len(own) if own else math.nan


def target_ndcg(row, targets, eligible, k):
    """The same, each discounted by its rank."""
    own = [t for t, e in zip(targets, eligible, strict=True) if e]
    gains = [1 / math.log2(row.index(t) + 2) if t in row[:k] else 0.0 for t in own]
    return sum(gains) / len(own) if own else math.nan
