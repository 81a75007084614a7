"""Three lines of Python: histories of every kind go in, a text with its evidence comes out."""

import subprocess
import sys
from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pytest

from bluerec.config import ProfilerConfig
from bluerec.data.any_history import read_history
from bluerec.errors import ConfigError, DataError
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.profiling.profiler import Profiler
from bluerec.profiling.shared_words import SharedWords
from bluerec.types import Item, Prompt

ROWS = [
    {"title": "Chess Deluxe", "timestamp": 200, "rating": 5.0, "brand": None},
    {"title": "Racing Stars", "timestamp": 100, "rating": 3.0, "brand": "Acme"},
]


class EchoWriter:
    name = "echo"

    def write(self, prompts: list[Prompt]) -> list[str]:
        return [prompt.messages[-1]["content"] for prompt in prompts]


def make_profiler() -> Profiler:
    return Profiler(EchoWriter(), ProfilerConfig(), lambda text: len(text.split()), HashingEmbedder())


@pytest.mark.parametrize("make", [list, pl.DataFrame, pd.DataFrame, iter, read_history])
def test_every_kind_of_history_is_the_same(make) -> None:
    written = make_profiler().write(make(ROWS))
    assert written.writer == "echo"
    assert written.text.index("Racing Stars") < written.text.index("Chess Deluxe")  # by time
    assert "rated 5" in written.text
    assert {evidence.item.title for evidence in written.evidence} == {"Chess Deluxe", "Racing Stars"}
    assert str(written) == written.text


def test_only_shared_words_are_read_and_the_evidence_is_whole() -> None:
    words = SharedWords.of_items([Item(str(row), "Chess") for row in range(3)], 3, "deluxe".__eq__)
    profiler = Profiler(EchoWriter(), ProfilerConfig(), lambda text: len(text.split()), HashingEmbedder(), words)
    written = profiler.write(["Chess Zorblax", "Zorblax Deluxe"])
    assert ("- Chess\n- Deluxe" in written.text, "Zorblax" in written.text) == (True, False)
    assert {evidence.item.title for evidence in written.evidence} == {"Chess Zorblax", "Zorblax Deluxe"}


@pytest.mark.parametrize("make", [list, pl.Series, pd.Series, tuple])
def test_titles_alone_come_oldest_first(make) -> None:
    history = read_history(make(["B game", "A game"]))
    assert [event.item.title for event in history.events] == ["B game", "A game"]
    assert [event.interaction.timestamp for event in history.events] == [0, 1]


def test_times_and_missing_values() -> None:
    frame = pd.DataFrame(
        {"title": ["b", "a"], "timestamp": [datetime(2020, 1, 2, tzinfo=UTC)] * 2, "rating": [None, 1]}
    )
    events = read_history(frame).events
    assert [event.interaction.rating for event in events] == [None, 1]
    assert events[0].interaction.timestamp == 1_577_923_200
    assert read_history([{"item_id": 5, "categories": "Games"}]).events[0].item.categories == ("Games",)


@pytest.mark.parametrize(
    "rows", [[], "Chess", [{"name": "x"}], [3], {"title": "x"}, [{"title": "x", "timestamp": "now"}]]
)
def test_what_is_no_history_is_refused(rows) -> None:
    with pytest.raises(DataError):
        read_history(rows)


def test_settings_given_in_python_have_the_same_ranges() -> None:
    with pytest.raises(ConfigError, match=r"profiler\.max_events=-3: use at least 1"):
        Profiler.load(config=ProfilerConfig(max_events=-3), offline=True)


def test_importing_the_package_is_light() -> None:
    code = "import sys, bluerec; print(sorted({'torch', 'polars', 'numpy', 'sqlite3'} & set(sys.modules)))"
    code += "\nfrom bluerec import Profiler, Recommender; print('torch' in sys.modules, Recommender.__name__)"
    code += "\ntry:\n    bluerec.nothing\nexcept AttributeError as error:\n    print(error)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["[]", "False Recommender", "module 'bluerec' has no attribute 'nothing'"]


@pytest.mark.models
@pytest.mark.slow
def test_the_embedded_profiler_writes() -> None:
    written = Profiler.load(offline=True).write(["Mario Kart 8", "Gran Turismo 7", "Forza Horizon 5"])
    assert written.text.startswith("This shopper likes")
    assert written.writer.startswith("SmolLM2-135M-Instruct")
    assert len(written.evidence) == 2
