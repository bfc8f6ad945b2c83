"""Seed 52, "Do LLMs Understand User Preferences? Evaluating LLMs On User Rating Prediction" (arXiv 2305.06474).

``$HONEYGUIDE_LM`` names another model or an endpoint for the same command; what is tuned is a local one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from honeyguide.experiment.claims.llm_ratings_cells import (
    DATA,
    GROUPS,
    NETWORKS,
    SHOTS,
    by_rules,
    few,
    networks,
    regressed,
    tuned,
    zero,
)
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict
from honeyguide.experiment.ratings import auc_lead, figures

Figures = Mapping[str, Any]


def _told(found: Figures) -> str:
    """Three figures with their intervals."""
    parts = [f"{m.upper()} {found[m]:.3f} [{found[f'{m}_ci'][0]:.3f}, {found[f'{m}_ci'][1]:.3f}]" for m in _MEASURES]
    return " ".join(parts)


_MEASURES = ("rmse", "mae", "auc")


def _drawn(results: Mapping[str, Result]) -> dict[str, Figures]:
    """Every system on the drawn test questions; the few-shot parts together."""
    nets = _network_seeds(results)
    last, whole = _last(results), nets[0]["whole"]
    parts = [results[f"few-{seed}"] for seed in range(GROUPS)]
    shown = {key: [v for part in parts for v in part[key]] for key in ("truth", "expected")}
    return {
        **results["rules"]["drawn"],
        f"Transformer-MLP, ids, {whole}": nets[0]["systems"][f"ids {whole}"]["drawn"],
        f"Transformer-MLP, MiniLM titles, {whole}": nets[0]["systems"][f"text {whole}"]["drawn"],
        "zero-shot": results["zero"]["figures"],
        "zero-shot, calibrated": results["zero"]["calibrated"]["figures"],
        f"{SHOTS} shots": figures(shown["truth"], shown["expected"]),
        f"tuned on {last}": results["tuned"]["sizes"][last]["figures"],
        f"regression head on {results['regressed']['examples']}": results["regressed"]["drawn"],
    }


def _network_seeds(results: Mapping[str, Result]) -> list[Result]:
    return [result for name, result in results.items() if name.startswith("networks-")]


def _last(results: Mapping[str, Result]) -> str:
    return str(max(results["tuned"]["sizes"], key=int))


def _judge_table(results: Mapping[str, Result]) -> Judgement:
    rows = _drawn(results)
    bare, means = rows["zero-shot"], [rows["user mean"], rows["item mean"]]
    held = bare["rmse"] > max(m["rmse"] for m in means) and bare["auc"] < min(m["auc"] for m in means)
    said = results["zero"]["written"]
    everywhere = "; ".join(f"{name} {_told(found)}" for name, found in results["rules"]["all"].items())
    note = (
        f"{results['zero']['model']}, {bare['n']} drawn test questions: "
        + "; ".join(f"{name} {_told(found)}" for name, found in rows.items())
        + f". As written instead of as probabilities: {said['unread']} of {said['n']} answers hold no number, RMSE "
        f"{said['rmse']:.3f} with the mean in their place. Rules on all {results['rules']['all']['user mean']['n']} "
        f"test questions: {everywhere}"
    )
    return Judgement(f"RMSE {bare['rmse']:.3f}, AUC {bare['auc']:.3f}", verdict(held), note=note)


def _judge_curve(results: Mapping[str, Result]) -> Judgement:
    rows = _drawn(results)
    names = ("zero-shot", f"{SHOTS} shots", f"tuned on {_last(results)}")
    errors = [rows[name]["rmse"] for name in names]
    floor = min(results["rules"]["drawn"].items(), key=lambda row: row[1]["rmse"])
    held = errors == sorted(errors, reverse=True) and errors[-1] < errors[0]
    sizes = "; ".join(
        f"{size}: RMSE {one['figures']['rmse']:.3f}, AUC {one['figures']['auc']:.3f} (n {one['figures']['n']})"
        for size, one in sorted(results["tuned"]["sizes"].items(), key=lambda row: int(row[0]))
    )
    beaten = errors[-1] < floor[1]["rmse"]
    note = (
        f"By examples tuned on, one pass: {sizes}. {results['tuned']['parameters']:,} weights are trained. The best "
        f"rule ({floor[0]}, RMSE {floor[1]['rmse']:.3f}) is {'' if beaten else 'not '}beaten; one seed of the tuning, "
        "as it is dear. HONEYGUIDE_LM names a bigger model for the same command"
    )
    return Judgement(" > ".join(f"{error:.3f}" for error in errors), verdict(held), note=note)


def _judge_data(results: Mapping[str, Result]) -> Judgement:
    nets, last = _network_seeds(results), _last(results)
    whole, lm = nets[0]["whole"], results["tuned"]["sizes"][last]["figures"]

    def mean(system: str, size: int | str, where: str) -> float:
        return float(np.mean([net["systems"][f"{system} {size}"][where]["auc"] for net in nets]))

    curve = "; ".join(
        f"{size}: LM {one['figures']['auc']:.3f}, ids {mean('ids', size, 'all'):.3f}, MiniLM titles "
        f"{mean('text', size, 'all'):.3f}"
        for size, one in sorted(results["tuned"]["sizes"].items(), key=lambda row: int(row[0]))
    )
    same, full = mean("ids", last, "drawn"), mean("ids", whole, "drawn")
    note = (
        f"On the drawn questions: LM tuned on {last} ({int(last) / whole:.1%} of {whole}) {lm['auc']:.3f}, "
        f"Transformer-MLP on as many {same:.3f}, on all {full:.3f} (mean of {len(nets)} seeds). AUC by size (networks "
        f"on all test questions): {curve}; all: ids {mean('ids', whole, 'all'):.3f}, MiniLM titles "
        f"{mean('text', whole, 'all'):.3f}. Looked for: whether examples are too few (the network on as many "
        f"{same:.3f}); whether titles tell less than ids (MiniLM titles on all examples, drawn questions, "
        f"{mean('text', whole, 'drawn'):.3f}); whether more is gained with more (the curve)"
    )
    return Judgement(lm["auc"], verdict(lm["auc"] >= full), tuple(lm["auc_ci"]), note)


def _judge_expected(results: Mapping[str, Result]) -> Judgement:
    parts = [results[f"few-{seed}"] for seed in range(GROUPS)]
    pairs = [(p["figures"]["rmse"], p["figures of the likeliest"]["rmse"]) for p in parts]
    won = sum(mean < mode for mean, mode in pairs)
    others = {"zero-shot": results["zero"], f"tuned on {_last(results)}": results["tuned"]["sizes"][_last(results)]}
    note = (
        f"RMSE of the mean and of the likeliest rating, {SHOTS} shots and test questions drawn anew for each seed: "
        + "; ".join(f"{mean:.3f} and {mode:.3f}" for mean, mode in pairs)
        + ". "
        + "; ".join(
            f"{name} {one['figures']['rmse']:.3f} and {one['figures of the likeliest']['rmse']:.3f}"
            for name, one in others.items()
        )
    )
    return Judgement(f"{won} of {len(pairs)}", verdict(won >= 4), note=note)


def _judge_regression(results: Mapping[str, Result]) -> Judgement:
    head, last = results["regressed"], _last(results)
    words = results["tuned"]["sizes"][last]
    own, modes, cold = words["figures"], words["figures of the likeliest"], results["tuned"]["cold"]["figures"]
    note = (
        f"On {own['n']} drawn questions, both tuned on {last} examples: head {_told(head['drawn'])}; words, mean over "
        f"the probabilities, {_told(own)}; the likeliest word RMSE {modes['rmse']:.3f}. On {cold['n']} about items "
        f"with at most five ratings: head {_told(head['cold'])}; words {_told(cold)}. One seed of each"
    )
    lead = head["drawn"]["rmse"] - own["rmse"]
    return Judgement(lead, verdict(lead < 0), note=note)


def _judge_titles(results: Mapping[str, Result]) -> Judgement:
    nets, tuned_ = _network_seeds(results), results["tuned"]
    whole = nets[0]["whole"]
    own = tuned_["sizes"][_last(results)]
    lm, ends = auc_lead(own["truth"], tuned_["shuffled"]["expected"], own["expected"])
    text = [
        net["systems"][f"text {whole}"]["shuffled"]["auc"] - net["systems"][f"text {whole}"]["all"]["auc"]
        for net in nets
    ]
    mixed = ", ".join(
        f"{net['systems'][f'ids {whole}']['shuffled']['auc'] - net['systems'][f'ids {whole}']['all']['auc']:+.3f}"
        for net in nets
    )
    note = (
        f"AUC with the titles of other items less that with their own: LM {lm:+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}], "
        f"{own['figures']['n']} questions; what is smaller than this interval cannot be seen. Whether titles tell "
        "anything: a network over MiniLM's, trained on all examples, changes by "
        f"{', '.join(f'{t:+.3f}' for t in text)} by seed, one of ids and genres by {mixed} when genres are shuffled; a "
        f"model of ids alone reads no titles. Whether the LM tells the item or the level of the user: its AUC is "
        f"{own['figures']['auc']:.3f} after {_last(results)} examples"
    )
    return Judgement(lm, verdict(ends[1] < 0), ends, note)


def _judge_cold(results: Mapping[str, Result]) -> Judgement:
    nets, lm = _network_seeds(results), results["tuned"]["cold"]["figures"]
    whole, mf = nets[0]["whole"], results["rules"]["drawn cold"]["biased MF"]
    own = results["tuned"]["cold"]
    lead, ends = auc_lead(own["truth"], own["expected"], results["rules"]["told of the drawn cold"]["biased MF"])
    text = [net["systems"][f"text {whole}"]["cold"]["auc"] for net in nets]
    ids = [net["systems"][f"ids {whole}"]["cold"]["auc"] for net in nets]
    rules = "; ".join(f"{name} {found['auc']:.3f}" for name, found in results["rules"]["cold"].items())
    user = results["rules"]["drawn cold"]["user mean"]["auc"]
    note = (
        f"{lm['n']} drawn questions about items with at most five ratings in train: LM {_told(lm)}; biased MF "
        f"{_told(mf)}; user mean AUC {user:.3f}. On all {results['rules']['cold']['biased MF']['n']} of them: {rules}; "
        f"networks by seed, MiniLM titles {', '.join(f'{v:.3f}' for v in text)}, ids and genres "
        f"{', '.join(f'{v:.3f}' for v in ids)}. Such questions are few, so the interval is wide; rules "
        "and networks read more of the history than a prompt tells"
    )
    return Judgement(lead, verdict(ends[0] > 0), ends, note)


_RULES, _ZERO, _TUNED = Cell("rules", by_rules), Cell("zero", zero), Cell("tuned", tuned)
_NETWORKS = tuple(Cell(f"networks-{seed}", networks(seed)) for seed in NETWORKS)
_FEW = tuple(Cell(f"few-{seed}", few(seed)) for seed in range(GROUPS))
_REGRESSED = Cell("regressed", regressed)
_EVERY = (_RULES, *_NETWORKS, _ZERO, *_FEW, _TUNED, _REGRESSED)
_WHERE = f"{DATA}, split by time"

PAPER = Paper(
    seed=52,
    module="honeyguide.lm.ratings",
    claims=(
        Claim(
            "table",
            "a small language model without training is worse than the mean of the item and of the user",
            _WHERE,
            "RMSE and AUC of the zero-shot model",
            "worse than both means",
            _EVERY,
            _judge_table,
        ),
        Claim(
            "curve",
            "examples in the prompt lower the error of the model, tuning lowers it further",
            _WHERE,
            "RMSE zero-shot, few-shot, tuned",
            "falling",
            _EVERY,
            _judge_curve,
        ),
        Claim(
            "data",
            "a model tuned on at most 5 % of the examples reaches the AUC of a Transformer-MLP trained on all",
            _WHERE,
            "AUC",
            "that of the Transformer-MLP",
            (*_NETWORKS, _TUNED),
            _judge_data,
        ),
        Claim(
            "expected",
            "the mean over the probabilities of the ratings has a lower RMSE than the likeliest in 4 of 5 seeds",
            _WHERE,
            "seeds",
            "4 of 5",
            (*_FEW, _ZERO, _TUNED),
            _judge_expected,
        ),
        Claim(
            "regression",
            "a head tuned by squared error has a lower RMSE than the words, read as a mean over their probabilities",
            _WHERE,
            "RMSE of the head, minus that of the words",
            "below 0",
            (_TUNED, _REGRESSED),
            _judge_regression,
        ),
        Claim(
            "titles",
            "titles of other items lower the AUC of the tuned model",
            _WHERE,
            "change of AUC",
            "interval below 0",
            (*_NETWORKS, _TUNED),
            _judge_titles,
        ),
        Claim(
            "cold",
            "on items with at most five ratings in train the tuned model has a higher AUC than biased MF",
            _WHERE,
            "lead in AUC",
            "interval above 0",
            (_RULES, *_NETWORKS, _TUNED),
            _judge_cold,
        ),
    ),
)
