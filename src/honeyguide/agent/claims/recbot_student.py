"""A small language model that learns how commands are meant from the traces of the grammar: LoRA on SmolLM2.

Shapes: b examples, t tokens, k kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from honeyguide.agent.facts import Facts
from honeyguide.agent.golden import Command, commands
from honeyguide.agent.golden import shown as shown_in
from honeyguide.agent.golden.catalogues import CATALOGUES
from honeyguide.agent.grammar import Grammar, Shown
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.lm_parser import IGNORE, KINDS, kind_of
from honeyguide.agent.phrases import CUES
from honeyguide.agent.preferences import Delta, Preferences, Want
from honeyguide.agent.simulator import SimulatedUser, spoken
from honeyguide.core.ragged import IntArray
from honeyguide.data.load import load_data
from honeyguide.lm.port import LMError, one_line

WORDS = [*KINDS, IGNORE]
_CATALOGUES = ("ml-1m", "goodbooks-mini")
_ABOUT = (  # what no catalogue has a field for
    "dragons", "time travel", "happy endings", "sad endings", "violence", "swearing", "small towns", "talking animals",
    "family secrets", "dark humour", "plot twists", "strong heroines", "long descriptions", "cats", "robots",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A command, what it speaks of, and how each of it is meant.

    Parameters
    ----------
    text
        The command.
    keys
        Words for each thing.
    kinds
        Of each, one of :data:`WORDS`.
    """

    text: str
    keys: tuple[str, ...]
    kinds: tuple[str, ...]


def traces(n: int, seed: int) -> list[Example]:
    """What the grammar made of commands, half of simulated users, half of its cues; none stands in the golden set.

    A simulated user's command is taken where the grammar's reading is what the user meant.
    """
    rng = np.random.default_rng(seed)
    known = {c.text.lower() for c in commands()}
    found: dict[str, Example] = {}
    worlds = _worlds()
    while len(found) < n:
        facts, lexicon, grammar = worlds[int(rng.integers(len(worlds)))]
        items, shown = _shown(facts, rng)
        meant = None
        if rng.random() < 0.5:
            said = SimulatedUser(facts, lexicon, int(items[0]), int(rng.integers(1 << 30))).say(items[1:])
            text, meant = said.text, said.wants
        else:
            text = _from_cues(facts, rng)
        example = example_of(text, grammar, shown, meant)
        if example is not None and text.lower() not in known:
            found.setdefault(text, example)
    return list(found.values())


def simulated(n: int, seed: int) -> list[tuple[Delta, Delta]]:
    """What the grammar heard, and what was meant, by first commands of simulated users about random items."""
    rng = np.random.default_rng(seed)
    found: list[tuple[Delta, Delta]] = []
    worlds = _worlds()
    while len(found) < n:
        facts, lexicon, grammar = worlds[len(found) % len(worlds)]
        items, shown = _shown(facts, rng)
        said = SimulatedUser(facts, lexicon, int(items[0]), int(rng.integers(1 << 30))).say(items[1:])
        if said.text:
            found.append((grammar.parse(said.text, Preferences(), shown), Delta(said.wants)))
    return found


def asked_of(command: Command) -> tuple[list[Want], Example]:
    """What a golden command speaks of, and the question about it."""
    things = Grammar(Lexicon.of(CATALOGUES[command.catalogue])).mentions(command.text, shown_in(command.catalogue))
    return things, Example(command.text, tuple(one_line(t.words or str(t.value), 40) for t in things), ())


def _worlds() -> list[tuple[Facts, Lexicon, Grammar]]:
    tables = [load_data(name).items for name in _CATALOGUES]
    lexicons = [Lexicon.of(table) for table in tables]
    return [(Facts.of(t, lexicon), lexicon, Grammar(lexicon)) for t, lexicon in zip(tables, lexicons, strict=True)]


def _shown(facts: Facts, rng: np.random.Generator) -> tuple[IntArray, Shown]:
    """A target and ten shown items, by code, and what a person sees of those."""
    items = rng.choice(len(facts.ids), 11, replace=False).astype(np.int32)
    medians = {f: float(np.nanmedian(v[items[1:]])) for f, v in facts.numbers.items()}
    return items, Shown(tuple(facts.ids[i] for i in items[1:]), medians)


def example_of(text: str, grammar: Grammar, shown: Shown, meant: Sequence[Want] | None = None) -> Example | None:
    """The grammar's reading of a command as an example; ``None`` where it says nothing, or not what was ``meant``."""
    add = grammar.parse(text, Preferences(), shown).add
    plain = [(w.positive, w.hard, w.relation, w.field, w.value) for w in add]
    if not add or (meant is not None and plain != [(w.positive, w.hard, w.relation, w.field, w.value) for w in meant]):
        return None
    things = grammar.mentions(text, shown)
    kinds = [next((k for w in add if (k := kind_of(w, thing)) != IGNORE), IGNORE) for thing in things]
    return Example(text, tuple(one_line(t.words or str(t.value), 40) for t in things), tuple(kinds))


def _from_cues(facts: Facts, rng: np.random.Generator) -> str:
    """One or two cues before names or words."""
    parts = []
    for _ in range(1 + int(rng.random() < 0.4)):
        if rng.random() < 0.35:
            thing = _ABOUT[int(rng.integers(len(_ABOUT)))]
        else:
            rows = facts.names[list(facts.names)[-1]]
            row = sorted(rows[int(rng.integers(len(rows)))]) or ["drama"]
            thing = spoken(row[int(rng.integers(len(row)))])
        cue = CUES[int(rng.integers(len(CUES)))][0]
        parts.append(f"{cue} {thing}" if rng.random() < 0.9 else thing)
    return (", ", " and ", " but ")[int(rng.integers(3))].join(parts)


class Student:
    """SmolLM2-135M with a low-rank adapter, read at the words by which a thing can be meant.

    Parameters
    ----------
    rank, lr, batch
        Of the adapter and its training.
    seed
        Of the adapter and the order of examples.

    Raises
    ------
    LMError
        If transformers, peft or the package with SmolLM2 is missing.
    """

    def __init__(self, rank: int = 16, lr: float = 1e-3, batch: int = 4, seed: int = 0) -> None:
        try:
            import torch
            from peft import LoraConfig, get_peft_model
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise LMError(f"the student cannot be trained: {error}.", "pip install transformers peft gguf") from error
        from honeyguide.lm.llama import smollm2_file

        file = smollm2_file()
        torch.manual_seed(seed)
        self.lr, self.batch, self.rng = lr, batch, np.random.default_rng(seed)
        self.tokens: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        whole = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        upper = list(range(10, whole.config.num_hidden_layers))  # what is below is read, not taught: a fifth less time
        adapter = LoraConfig(
            r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=targets, layers_to_transform=upper
        )
        self.model: Any = get_peft_model(whole, adapter)
        self.words = [self.tokens.encode(f" {w}")[0] for w in WORDS]  # [k]: their first tokens, all different
        if len(set(self.words)) < len(WORDS):
            raise LMError("two of the words begin with the same token.", "Choose other words.")

    def train(self, examples: Sequence[Example], epochs: int = 1) -> list[float]:
        """Losses of the steps, in nats a thing."""
        import torch

        wanted = [p for p in self.model.parameters() if p.requires_grad]
        steps = epochs * -(-len(examples) // self.batch)
        adam = torch.optim.AdamW(wanted, lr=self.lr, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.OneCycleLR(adam, self.lr, steps, pct_start=0.1)
        losses = []
        self.model.train()
        for _ in range(epochs):
            for rows in np.array_split(self.rng.permutation(len(examples)), -(-len(examples) // self.batch)):
                batch = [examples[i] for i in rows]
                logits, at = self._logits(batch, [e.kinds for e in batch])
                kinds = torch.tensor([WORDS.index(batch[b].kinds[key]) for b, key in at])
                loss = torch.nn.functional.cross_entropy(logits, kinds)
                adam.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(wanted, 1.0)
                adam.step()
                schedule.step()
                losses.append(float(loss.detach()))
        return losses

    def read(self, asked: Sequence[Example]) -> list[tuple[str, ...]]:
        """The likeliest word for each thing, one after the other; ``kinds`` of what is asked are not looked at."""
        import torch

        found: list[list[str]] = [[] for _ in asked]
        self.model.eval()
        with torch.inference_mode():
            for place in range(max(len(e.keys) for e in asked)):
                rows = [i for i, e in enumerate(asked) if len(e.keys) > place]
                rows.sort(key=lambda i: len(asked[i].text))
                for start in range(0, len(rows), 16):
                    part = rows[start : start + 16]
                    logits, at = self._logits([asked[i] for i in part], [(*found[i], "") for i in part])
                    for (b, key), best in zip(at, logits.argmax(1).tolist(), strict=True):
                        if key == place:
                            found[part[b]].append(WORDS[best])
        return [tuple(kinds) for kinds in found]

    def _logits(self, batch: Sequence[Example], kinds: Sequence[Sequence[str]]) -> tuple[Any, list[tuple[int, int]]]:
        """Logits ``[n, k]`` of the words where each thing is answered for, and ``(row, thing)`` of them."""
        import torch

        rows, at = [], []
        for b, (example, own) in enumerate(zip(batch, kinds, strict=True)):
            ids = self.tokens.encode(f"Command: {one_line(example.text)}\nThings: {'; '.join(example.keys)}\n")
            for key, kind in zip(range(len(own)), own, strict=True):
                ids += self.tokens.encode(f"{example.keys[key]}:")
                at.append((b, key, len(ids) - 1))
                ids += self.tokens.encode(f" {kind}\n") if kind else []
            rows.append(ids)
        longest = max(map(len, rows))
        tokens = torch.tensor(
            [ids + [0] * (longest - len(ids)) for ids in rows]
        )  # [b, t]: causal, so padding is unseen
        hidden = self.model.base_model.model.model(input_ids=tokens).last_hidden_state  # [b, t, d]
        picked = hidden[[b for b, _, _ in at], [place for _, _, place in at]]  # [n, d]
        table = self.model.base_model.model.lm_head.weight[self.words]  # [k, d]
        return picked @ table.T, [(b, key) for b, key, _ in at]
