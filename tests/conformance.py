"""What every implementation of a protocol has to do, as functions that a test calls on an instance."""

from collections.abc import Sequence

import numpy as np

from bluerec.types import Embedder, ProfileWriter, Prompt, Reader

TEXTS = (
    "Likes slow strategy games with a long campaign, and prefers complete editions.",
    "Buys brass fittings.",
    "",
    "日本の RPG — naïve café 🎮",
    "Likes slow strategy games with a long campaign, and prefers complete editions.",
    "a " * 40,
)


def check_embedder(embedder: Embedder, *, tolerance: float = 1e-5) -> None:
    """Unit float32 rows in the order of the texts; a text's vector depends on nothing but the text and its kind."""
    assert isinstance(embedder, Embedder)
    assert embedder.name
    assert embedder.embed([], "item").shape == (0, embedder.dimension)
    for kind in ("profile", "item"):
        together = embedder.embed(TEXTS, kind)
        assert together.shape == (len(TEXTS), embedder.dimension)
        assert together.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
        alone = np.concatenate([embedder.embed([text], kind) for text in TEXTS])
        np.testing.assert_allclose(alone, together, atol=tolerance)
        backwards = embedder.embed(TEXTS[::-1], kind)[::-1]
        np.testing.assert_allclose(backwards, together, atol=tolerance)
        np.testing.assert_allclose(together[0], together[4], atol=tolerance)
        assert np.abs(together[0] - together[1]).max() > 1e-3


def check_writer(writer: ProfileWriter, prompts: Sequence[Prompt]) -> None:
    """One text per prompt, in order, and (written without chance) the same alone, in a batch and again."""
    assert isinstance(writer, ProfileWriter)
    assert writer.name
    assert writer.write([]) == []
    texts = writer.write(prompts)
    assert len(texts) == len(prompts)
    assert all(isinstance(text, str) for text in texts)
    assert [writer.write([prompt])[0] for prompt in prompts] == texts
    assert writer.write(list(prompts)[::-1]) == texts[::-1]


def check_reader(reader: Reader, *, tolerance: float = 1e-4) -> None:
    """Normalised float32 log-probabilities that depend on nothing but one context and its options."""
    contexts = ["Likes racing games and fast cars.", "Buys brass fittings", "", "Likes racing games and fast cars."]
    options = [
        ["Mario Kart", "Brass pipe fitting", "Lip balm", "A puzzle"],
        ["Brass pipe fitting, half-union, 3/8", "Mario Kart", "Lip balm", "日本"],
        ["Mario Kart", "Chess", "Lip balm", "A puzzle"],
        ["Mario Kart", "Brass pipe fitting", "Lip balm", "A puzzle"],
    ]
    assert isinstance(reader, Reader)
    assert reader.name
    together = reader.choose(contexts, options)
    assert together.shape == (4, 4)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.exp(together.astype(np.float64)).sum(axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([reader.choose([one], [its]) for one, its in zip(contexts, options, strict=True)])
    np.testing.assert_allclose(alone, together, atol=tolerance)
    backwards = reader.choose(contexts[::-1], options[::-1])[::-1]
    np.testing.assert_allclose(backwards, together, atol=tolerance)
    np.testing.assert_allclose(together[0], together[3], atol=tolerance)
