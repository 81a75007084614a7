"""The fakes keep the protocols, and say what the text plainly says."""

import conformance
import numpy as np

from bluerec.profiling.fakes import EchoWriter, FakeReader
from bluerec.types import Prompt


def make_prompt(content: str, prefill: str = "") -> Prompt:
    return Prompt(({"role": "user", "content": content},), prefill, "interests", n_events=2, n_omitted=0)


PROMPTS = [
    make_prompt("- Mario Kart (racing, Nintendo)\n- F-Zero (racing, Nintendo)\n- Lip balm"),
    make_prompt("- Brass fitting, 3/8\n- Brass tube", "This user likes "),
    make_prompt(""),
]


def test_echo_writer_conforms() -> None:
    conformance.check_writer(EchoWriter(), PROMPTS)


def test_echo_writer_repeats_what_recurs() -> None:
    racing, brass, nothing = EchoWriter(n_words=2).write(PROMPTS)
    assert racing == "Likes racing, nintendo."
    assert brass == "This user likes brass, tube."
    assert nothing == "Likes nothing in particular."


def test_fake_reader_counts_shared_words() -> None:
    chosen = FakeReader().choose(["likes brass tubes"], [["Brass tubes", "brass", "lip balm"]])
    weights = np.exp([2.0, 1.0, 0.0])
    np.testing.assert_allclose(chosen[0], np.log(weights / weights.sum()), atol=1e-6)
