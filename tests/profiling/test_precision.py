"""Which precision `auto` is."""

from collections.abc import Iterator

import pytest
import torch

from bluerec.config import ProfilerConfig
from bluerec.profiling import precision
from bluerec.profiling.writers import describe_settings


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    precision._is_bfloat16_faster.cache_clear()
    yield
    precision._is_bfloat16_faster.cache_clear()


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ((2.2, 2.0), "bfloat16"),
        ((2.2, 1.1), "float32"),  # within the noise
        ((0.6, 2.0), "float32"),  # slower for the few rows of a decoding step
    ],
)
def test_auto_is_what_was_faster(monkeypatch: pytest.MonkeyPatch, gains: tuple[float, float], chosen: str) -> None:
    measured = dict(zip(precision._TRIALS, gains, strict=True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(precision, "_measure_gain", lambda *shape: measured[shape])

    assert precision.name_dtype("auto") == chosen
    assert precision.choose_dtype("auto") is getattr(torch, chosen)


def test_matrix_tiles_need_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(precision, "_measure_gain", lambda *shape: pytest.fail("timed"))

    assert precision.choose_dtype("auto") is torch.bfloat16


def test_the_trial_takes_time_and_no_random_numbers() -> None:
    before = torch.get_rng_state()

    assert 0.01 < precision._measure_gain(8, 16, 32) < 100
    assert torch.equal(torch.get_rng_state(), before)


def test_a_named_precision_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_measure_gain", lambda *shape: pytest.fail("timed"))

    assert precision.choose_dtype("float32") is torch.float32
    assert precision.choose_dtype("bfloat16") is torch.bfloat16


@pytest.mark.parametrize(("is_faster", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_what_auto_is_belongs_to_what_a_text_depends_on(
    monkeypatch: pytest.MonkeyPatch, is_faster: bool, chosen: str
) -> None:
    monkeypatch.setattr(precision, "_is_bfloat16_faster", lambda: is_faster)

    assert describe_settings(ProfilerConfig(dtype="auto"))["dtype"] == chosen
    assert describe_settings(ProfilerConfig(dtype="float32"))["dtype"] == "float32"


def test_without_torch_auto_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "find_spec", lambda name: None)

    assert describe_settings(ProfilerConfig(dtype="auto"))["dtype"] == "auto"
