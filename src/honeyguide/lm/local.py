"""Any causal language model of transformers in this process: with all capabilities but JSON by a schema.

A folder with safetensors weights, a name of the Hugging Face hub, or a GGUF file (converted once,
:mod:`honeyguide.lm.convert`). Slower than llama.cpp at writing; exact at scoring, and it can be trained
(:mod:`honeyguide.lm.tuning`). No code of a model's own is run.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import ConfigError, MissingExtraError
from honeyguide.encode.encoder import Release
from honeyguide.lm.llama import checked, smollm2_file
from honeyguide.lm.port import LETTERS, LM, Answer, Capability, Finish, LMError, Prompt, Spent, Usage, Vector

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LocalConfig:
    """Which model, and where it runs.

    Parameters
    ----------
    model
        A folder, a GGUF file, a name of the Hugging Face hub, or ``"smollm2"`` for the packaged one.
    device
        As torch calls it, or ``"auto"``: a CUDA device where there is one, else the CPU.
    batch
        Texts read at once where vectors are wanted.
    adapter
        Folder of a LoRA adapter that was trained on this model.
    reuse
        Where options are scored, keep the state of a prompt for the next one that begins alike: faster; the last
        digits of probabilities then depend on what was asked before.
    tokens
        Budget in all; ``None`` for no limit.
    """

    model: str = "smollm2"
    device: str = "auto"
    batch: int = 8
    adapter: Path | None = None
    reuse: bool = False
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ConfigError("batch is too small.", "Leave it away for the default.")


class Local(LM):
    """A model of transformers in this process; loaded when it is first asked.

    Parameters
    ----------
    config
        Which and where.

    Raises
    ------
    MissingExtraError
        If transformers is not installed.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {"generate", "choose", "logprobs", "hidden", "embed", "forward", "tune"}
    )

    def __init__(self, config: LocalConfig | None = None) -> None:
        self.config = config or LocalConfig()
        if find_spec("transformers") is None or find_spec("torch") is None:
            raise MissingExtraError("Running a language model with transformers", "lm-torch")
        if self.config.device == "auto":
            import torch

            self.config = replace(self.config, device="cuda" if torch.cuda.is_available() else "cpu")
        self.spent = Spent(self.config.tokens)
        self._kept: tuple[str, list[int], Any] | None = None  # name, tokens and state of the last prompt

    @cached_property
    def folder(self) -> Path:
        """Where the weights are; a GGUF file is converted, a hub name fetched."""
        from honeyguide.lm.convert import converted, fetched

        name = self.config.model
        if name == "smollm2":
            file = smollm2_file()
            return converted(file, checked(file))
        path = Path(name)
        if path.is_file():
            return converted(path)
        return path.resolve() if path.is_dir() else fetched(name)

    @cached_property
    def name(self) -> str:
        """The model, the beginning of the SHA-256 of its weights, and that of its adapter."""
        version = _version(self.folder)
        adapter = "" if self.config.adapter is None else f"+{_version(self.config.adapter)}"
        return f"{self.config.model}@transformers:{version}{adapter}"

    @cached_property
    def tokenizer(self) -> Any:
        """Of the model, with its chat template."""
        from transformers import AutoTokenizer

        found: Any = AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True, trust_remote_code=False)
        if found.pad_token_id is None:
            found.pad_token = found.eos_token
        return found

    @cached_property
    def network(self) -> Any:
        """The causal language model, ready to score."""
        import torch
        from transformers import AutoModelForCausalLM

        from honeyguide.lm.convert import without_bars

        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
        try:
            with without_bars():
                found: Any = AutoModelForCausalLM.from_pretrained(str(self.folder), dtype=torch.float32, **options)
        except (OSError, ValueError) as error:
            raise LMError(f"{self.folder} holds no model: {error}.", "Give a folder with safetensors.") from error
        if self.config.adapter is not None:
            if find_spec("peft") is None:
                raise MissingExtraError("An adapter", "lm-torch")
            from peft import PeftModel

            found = PeftModel.from_pretrained(found, str(self.config.adapter), is_trainable=False)
        with torch.inference_mode(mode=False):  # else it could not be trained if it is first asked in that mode
            return found.to(self.config.device).eval()

    def ids(self, prompt: Prompt) -> list[int]:
        """Tokens of a prompt in the model's chat template, ready to be answered."""
        turns = [{"role": message.role, "content": message.text} for message in prompt.messages]
        if self.tokenizer.chat_template is None:
            text = "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns) + "\nassistant:"
        else:
            text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate(
        self, prompts: Sequence[Prompt], on_answer: Callable[[int, Answer], None] | None = None
    ) -> list[Answer]:
        """An answer to each prompt, one after the other.

        Raises
        ------
        CapabilityError
            If a prompt has a schema.
        LMError
            If the budget is spent; ``on_answer`` was told those that came before.
        """
        answers: list[Answer] = []
        for place, prompt in enumerate(prompts):
            self.spent.check()
            if prompt.schema is not None:
                self.require("schema")
            answer = self._answer(prompt)
            answers.append(answer)
            if on_answer is not None:
                on_answer(place, answer)
        return answers

    def _answer(self, prompt: Prompt) -> Answer:
        import torch

        started, ids = time.monotonic(), self.ids(prompt)
        options: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if prompt.temperature > 0:
            options = {"do_sample": True, "temperature": prompt.temperature}
        if prompt.stop:
            options |= {"stop_strings": list(prompt.stop), "tokenizer": self.tokenizer}
        read = torch.tensor([ids], device=self.config.device)
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(prompt.seed)
            found = self.network.generate(
                input_ids=read,
                attention_mask=torch.ones_like(read),
                max_new_tokens=prompt.max_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
                output_logits=prompt.logprobs,
                return_dict_in_generate=True,
                **options,
            )
        written = found.sequences[0, len(ids) :].tolist()
        logprobs = None
        if prompt.logprobs:
            logprobs = tuple(
                float(step[0].log_softmax(-1)[token]) for step, token in zip(found.logits, written, strict=True)
            )
        text = str(self.tokenizer.decode(written, skip_special_tokens=True))
        for end in prompt.stop:
            text = text.partition(end)[0]
        finish: Finish = "length" if len(written) == prompt.max_tokens and not self._ended(written) else "stop"
        usage = self._usage(len(ids), len(written), started)
        return Answer(text, self.name, prompt.key(), finish, usage, prompt.saw_target, logprobs=logprobs)

    def _ended(self, written: list[int]) -> bool:
        ends = self.network.generation_config.eos_token_id
        return written[-1] in (ends if isinstance(ends, list) else [ends])

    def _usage(self, read: int, written: int, started: float) -> Usage:
        usage = Usage(read, written, time.monotonic() - started)
        self.spent.add(usage)
        return usage

    def letters(self, prompt: Prompt, n: int) -> tuple[Vector, Usage]:
        """Exact log-probabilities of the letters, with and without a blank before them, as the next token."""
        import torch

        started, ids = time.monotonic(), self.ids(prompt)
        with torch.inference_mode():
            last = self._read(ids)[0][0]  # [vocabulary]
        logprobs = last.double().log_softmax(-1)
        scores = np.array([float(logprobs[self._letter_tokens(letter)].logsumexp(0)) for letter in LETTERS[:n]])
        return scores, self._usage(len(ids), 1, started)

    def _read(self, ids: list[int]) -> tuple[Any, str, Any]:
        """Logits ``[1, vocabulary]`` after a prompt, the name of the state, and the state; in inference mode."""
        import torch

        past, start = {}, 0
        if self.config.reuse and self._kept is not None and hasattr(self._kept[2], "crop"):
            name, before, state = self._kept
            while start < min(len(before), len(ids) - 1) and before[start] == ids[start]:
                start += 1
            if start:
                if start < len(before):
                    state.crop(start - len(before))  # so many tokens less
                past = {name: state}
        self._kept = None  # what is read into is no longer the state of the last prompt
        read = self.network(
            input_ids=torch.tensor([ids[start:]], device=self.config.device), use_cache=True, logits_to_keep=1, **past
        )
        name = "cache" if "cache" in read else "past_key_values"  # its name before transformers 5.24
        if self.config.reuse:
            self._kept = name, ids, read[name]
        return read.logits[0], name, read[name]

    def forget(self) -> None:
        """Drop the state of the last prompt: it is that of other weights once the model was trained."""
        self._kept = None

    def _letter_tokens(self, letter: str) -> list[int]:
        """The tokens that are this letter alone."""
        found = {tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (letter, f" {letter}")}
        return [ids[0] for ids in sorted(found) if len(ids) == 1]

    def logprobs(self, prompt: Prompt, continuations: Sequence[str]) -> list[Vector]:
        """Log-probability of every token of each continuation, float64; the prompt is read once."""
        import torch

        started, ids = time.monotonic(), self.ids(prompt)
        device, found, written = self.config.device, [], 0
        with torch.inference_mode():
            first, kept, state = self._read(ids)
            for text in continuations:
                tokens = torch.tensor(self.tokenizer(text, add_special_tokens=False)["input_ids"], device=device)
                written += len(tokens)
                if not len(tokens):
                    found.append(np.empty(0))
                    continue
                more = None
                if len(tokens) > 1:
                    past = {kept: copy.deepcopy(state)}  # a forward pass writes into it
                    more = self.network(input_ids=tokens[None, :-1], **past).logits[0]
                logits = first if more is None else torch.cat([first, more])  # [t, v]
                each = logits.double().log_softmax(-1).gather(1, tokens[:, None])[:, 0]
                found.append(each.cpu().numpy())
        self._usage(len(ids), written, started)
        return found

    def hidden(self, texts: Sequence[str], layer: int = -1) -> list[Array]:
        """float32 ``[tokens, d]`` for each text: the states after a layer; -1 for the last."""
        found: list[Array] = []
        for states, mask in self._states(texts, layer):
            found += [row[kept].float().cpu().numpy() for row, kept in zip(states, mask.bool(), strict=True)]
        return found

    def embed(self, texts: Sequence[str]) -> Array:
        """float32 ``[n, d]``: the mean of the last states. Of an untrained decoder these are poor; see ``encode``."""
        rows = []
        for states, mask in self._states(texts, -1):
            weight = mask[:, :, None].to(states.dtype)  # [b, t, 1]
            rows.append(((states * weight).sum(1) / weight.sum(1).clamp(min=1)).float().cpu().numpy())
        return np.concatenate(rows) if rows else np.empty((0, self.network.config.hidden_size), np.float32)

    def _states(self, texts: Sequence[str], layer: int) -> Any:
        """States ``[b, t, d]`` and mask ``[b, t]`` of batches of texts."""
        import torch

        for start in range(0, len(texts), self.config.batch):
            some = [text or " " for text in texts[start : start + self.config.batch]]
            read = self.tokenizer(some, return_tensors="pt", padding=True, padding_side="right").to(self.config.device)
            with torch.inference_mode():
                out = self.network(
                    input_ids=read["input_ids"],
                    attention_mask=read["attention_mask"],
                    output_hidden_states=True,
                    logits_to_keep=1,
                )
            yield out.hidden_states[layer], read["attention_mask"]

    def forward(self, inputs_embeds: Any, mask: Any) -> Any:
        """States ``[b, t, d]`` after the last layer from input vectors ``[b, t, d]`` and a mask; differentiable."""
        out = self.network(inputs_embeds=inputs_embeds, attention_mask=mask, output_hidden_states=True)
        return out.hidden_states[-1]

    def add_tokens(self, meanings: Mapping[str, str]) -> list[int]:
        """New tokens, such as ids of items, whose vectors begin as the mean of those of a text.

        Parameters
        ----------
        meanings
            From token to the text, for example a title.

        Returns
        -------
        list
            Their ids, in order; :class:`honeyguide.lm.tuning.TuneConfig` trains these rows where asked to.

        Raises
        ------
        ConfigError
            If one of them is a token already.
        """
        import torch

        known = self.tokenizer.get_vocab()
        twice = [token for token in meanings if token in known]
        if twice:
            raise ConfigError(f"{twice[0]!r} is a token already.", "Name new tokens, such as <item_17>.")
        pieces = [
            self.tokenizer(text or token, add_special_tokens=False)["input_ids"] for token, text in meanings.items()
        ]
        self.tokenizer.add_tokens(list(meanings), special_tokens=False)
        self.network.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
        new = self.tokenizer.convert_tokens_to_ids(list(meanings))
        with torch.no_grad():
            for table in {id(t): t for t in self._tables()}.values():
                for row, old in zip(new, pieces, strict=True):
                    table[row] = table[old].mean(0)
        return list(new)

    def _tables(self) -> list[Any]:
        """The vectors of the tokens, at the entrance and, where they are others, at the exit."""
        tables = [self.network.get_input_embeddings().weight]
        if self.network.get_output_embeddings() is not None:
            tables.append(self.network.get_output_embeddings().weight)
        return tables


def _version(folder: Path) -> str:
    """The beginning of the SHA-256 of the weights of a folder."""
    return Release.of(folder, [".safetensors"], [".json"]).version.removeprefix("sha256:")[:12]
