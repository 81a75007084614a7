"""The local writer conforms; a profile table survives kills: no user twice, none lost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import conformance
import polars as pl
import pytest
import tiny_models

from bluerec.config import ProfilerConfig
from bluerec.data.histories import split_examples
from bluerec.data.profiles import load_profiles
from bluerec.data.toy import build_world
from bluerec.errors import ConfigError, DataError, ModelError
from bluerec.profiling.fakes import EchoWriter
from bluerec.profiling.models import Profiler
from bluerec.profiling.prompts import render_prompt
from bluerec.profiling.shared_words import SharedWords
from bluerec.profiling.writers import LocalWriter, find_stop_tokens, merge_adapter, write_profiles


def count_words(text: str) -> int:
    return len(text.split())


@pytest.fixture(scope="module")
def table():
    return split_examples(build_world(n_users=60, n_items=50, seed=1).dataset).select("all")


def tiny_profiler(family: str = "llama") -> Profiler:
    return Profiler(*tiny_models.build_causal(family), f"tiny-{family}")


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3"])
def test_local_writer_conforms(table, family: str) -> None:
    config = ProfilerConfig(max_new_tokens=6, max_events=3)
    examples = list(table.take(range(5)).examples())
    prompts = [render_prompt(example.history, config, count_words) for example in examples]
    writer = LocalWriter(tiny_profiler(family), config, batch_size=2)
    conformance.check_writer(writer, prompts)
    assert all(text.startswith("This shopper likes") for text in writer.write(prompts))


def test_sampling_is_seeded(table) -> None:
    config = ProfilerConfig(max_new_tokens=8, max_events=2, temperature=1.0)
    prompts = [render_prompt(example.history, config, count_words) for example in table.take(range(3)).examples()]

    def write(seed: int) -> list[str]:
        return LocalWriter(tiny_profiler(), config, seed=seed).write(prompts)

    assert write(0) == write(0) != write(1)


def test_adapters_are_merged() -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    profiler = tiny_profiler()
    assert merge_adapter(profiler.model) is profiler.model
    adapted = get_peft_model(profiler.model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
        expected = adapted(torch.tensor([[5, 6, 7]])).logits
        merged = merge_adapter(adapted)
        torch.testing.assert_close(merged(torch.tensor([[5, 6, 7]])).logits, expected, atol=1e-4, rtol=1e-4)
    assert not hasattr(merged, "peft_config")


def test_stop_tokens_of_config_and_tokenizer() -> None:
    profiler = tiny_profiler()
    profiler.model.generation_config.eos_token_id = [2, 7]
    assert find_stop_tokens(profiler) == (2, 4, 7)
    profiler.model.generation_config.eos_token_id = None
    assert find_stop_tokens(profiler) == (4,)


def test_one_profile_per_example_in_order(table, tmp_path: Path) -> None:
    out = tmp_path / "profiles.parquet"
    seen: list[tuple[int, int]] = []
    profiles = write_profiles(
        table, EchoWriter(), ProfilerConfig(max_events=4), count_words, out, progress=lambda *told: seen.append(told)
    )
    assert profiles["example_id"].to_list() == table.example_ids
    assert load_profiles(out).equals(profiles)
    assert [path.name for path in tmp_path.iterdir()] == ["profiles.parquet"]
    totals = (table.history_stop - table.history_start).tolist()
    assert (profiles["n_events"] + profiles["n_omitted"]).to_list() == totals
    assert seen[-1] == (len(table), len(table))
    with pytest.raises(ConfigError, match="already exists"):
        write_profiles(table, EchoWriter(), ProfilerConfig(), count_words, out)


def test_other_settings_do_not_mix(table, tmp_path: Path) -> None:
    out = tmp_path / "profiles.parquet"

    class Failing(EchoWriter):
        def write(self, prompts):
            if out.with_name("profiles.parquet.parts").glob("part-*") and self._n_calls:
                raise KeyboardInterrupt
            self._n_calls += 1
            return super().write(prompts)

        _n_calls = 0

    with pytest.raises(KeyboardInterrupt):
        write_profiles(table, Failing(), ProfilerConfig(), count_words, out, per_part=10)
    with pytest.raises(ConfigError, match="max_events differ"):
        write_profiles(table, EchoWriter(), ProfilerConfig(max_events=3), count_words, out)
    assert write_profiles(table, EchoWriter(), ProfilerConfig(), count_words, out).height == len(table)


def test_words_of_few_items_are_not_read_and_do_not_mix_with_whole_texts(table, tmp_path: Path) -> None:
    class Reading(EchoWriter):
        def write(self, prompts):
            return [prompt.messages[-1]["content"] for prompt in prompts]

    titles = [event.item.title for example in table.examples(last=3) for event in example.history.events]
    rare = titles[0].split()[0]
    words = SharedWords(frozenset(), 3, lambda word: word != rare.casefold())
    config = ProfilerConfig(max_events=3)
    whole = write_profiles(table, Reading(), config, count_words, tmp_path / "whole.csv")
    trimmed = write_profiles(table, Reading(), config, count_words, tmp_path / "trimmed.csv", words=words)
    assert rare in " ".join(whole["text"]).split()
    assert rare not in " ".join(trimmed["text"]).split()

    class Twice(Reading):
        def write(self, prompts):
            if list(tmp_path.glob("other.csv.parts/part-*")):
                raise KeyboardInterrupt
            return super().write(prompts)

    for begun, other in ((words, None), (None, words)):
        out = tmp_path / "other.csv"
        with pytest.raises(KeyboardInterrupt):
            write_profiles(table, Twice(), config, count_words, out, per_part=10, words=begun)
        with pytest.raises(ConfigError, match="word_support differ"):
            write_profiles(table, Reading(), config, count_words, out, words=other)
        shutil.rmtree(tmp_path / "other.csv.parts")


class Failing(EchoWriter):
    def write(self, prompts):
        raise ModelError("not there")


def test_a_first_part_that_fails_leaves_nothing_behind(table, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        write_profiles(table, Failing(), ProfilerConfig(), count_words, tmp_path / "p.parquet")
    with pytest.raises(ConfigError, match="max_prompt_tokens=3"):
        write_profiles(table, EchoWriter(), ProfilerConfig(max_prompt_tokens=3), count_words, tmp_path / "p.parquet")
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_finished_part_is_taken_over(table, tmp_path: Path) -> None:
    """As a kill before the first part leaves it, or an older version that failed."""
    parts = tmp_path / "p.parquet.parts"
    parts.mkdir()
    for content in ('{"template": "nope"}', "{"):
        (parts / "settings.json").write_text(content)
        written = write_profiles(table, EchoWriter(), ProfilerConfig(), count_words, tmp_path / "p.parquet")
        assert written.height == len(table)
        assert not parts.exists()
        (tmp_path / "p.parquet").unlink()
        parts.mkdir()


def test_who_comes_second_with_other_settings_is_refused_at_its_first_part(table, tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"

    class Overtaken(EchoWriter):
        def write(self, prompts):
            with pytest.raises(KeyboardInterrupt):
                write_profiles(table, Interrupted(), ProfilerConfig(max_events=3), count_words, out, per_part=10)
            return super().write(prompts)

    class Interrupted(EchoWriter):
        n_calls = 0

        def write(self, prompts):
            self.n_calls += 1
            if self.n_calls > 1:
                raise KeyboardInterrupt
            return super().write(prompts)

    with pytest.raises(ConfigError, match="max_events differ"):
        write_profiles(table, Overtaken(), ProfilerConfig(), count_words, out, per_part=10)


def test_how_many_prompts_the_budget_cut_is_told_once(table, tmp_path: Path) -> None:
    told: list[str] = []

    def write(name: str, budget: int) -> pl.DataFrame:
        config = ProfilerConfig(max_events=4, max_prompt_tokens=budget)
        return write_profiles(
            table, EchoWriter(), config, count_words, tmp_path / name, per_part=10, announce=told.append
        )

    asked = write("whole.parquet", 10_000)["n_events"]
    assert not told
    n_cut = (write("cut.parquet", 90)["n_events"] < asked).sum()
    assert 0 < n_cut < len(table)
    (line,) = told
    assert line.startswith(f"{n_cut} of {len(table)} prompts have fewer events than profiler.max_events=4 asks for")
    assert "profiler.max_prompt_tokens=90" in line


def test_a_writer_that_loses_texts_is_refused(table, tmp_path: Path) -> None:
    class Losing(EchoWriter):
        def write(self, prompts):
            return super().write(prompts)[1:]

    with pytest.raises(DataError, match="returned"):
        write_profiles(table, Losing(), ProfilerConfig(), count_words, tmp_path / "p.parquet")


SLOW_WRITER = """
import sys, time
from bluerec.config import ProfilerConfig
from bluerec.data.histories import split_examples
from bluerec.data.toy import build_world
from bluerec.profiling import writers
from bluerec.profiling.fakes import EchoWriter

class Slow(EchoWriter):
    def write(self, prompts):
        time.sleep(0.05)
        return super().write(prompts)

table = split_examples(build_world(n_users=60, n_items=50, seed=1).dataset).select("all")
print("ready", flush=True)
writers.write_profiles(table, Slow(), ProfilerConfig(), lambda text: len(text.split()), sys.argv[1], per_part=4)
"""


def test_killed_writes_go_on_where_they_were(table, tmp_path: Path) -> None:
    out = tmp_path / "killed.parquet"
    for seconds in (0.12, 0.2, 0.16):
        process = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(out)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    n_parts = len(list(tmp_path.glob("killed.parquet.parts/part-*")))
    assert 3 <= n_parts < len(table) // 4
    whole = write_profiles(table, EchoWriter(), ProfilerConfig(), count_words, tmp_path / "whole.parquet")
    resumed = write_profiles(table, EchoWriter(), ProfilerConfig(), count_words, out)
    assert resumed.equals(whole)
    assert resumed["user_id"].is_unique().all()
    assert pl.read_parquet(out).height == len(table)
