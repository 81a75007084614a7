"""Which precision `auto` is."""

from collections.abc import Iterator

import pytest
import torch

from bluerec.profiling import precision


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    precision._is_bfloat16_faster.cache_clear()
    yield
    precision._is_bfloat16_faster.cache_clear()


@pytest.mark.parametrize(("float32", "bfloat16", "chosen"), [
    (1.0, 0.5, torch.bfloat16),
    (1.0, 0.9, torch.float32),  # within the noise
    (1.0, 1.8, torch.float32),
])  # fmt: skip
def test_auto_is_what_was_faster(
    monkeypatch: pytest.MonkeyPatch, float32: float, bfloat16: float, chosen: torch.dtype
) -> None:
    seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(precision, "_time_products", seconds.__getitem__)

    assert precision.choose_dtype("auto") is chosen


def test_matrix_tiles_need_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(precision, "_time_products", lambda dtype: pytest.fail("timed"))

    assert precision.choose_dtype("auto") is torch.bfloat16


def test_the_trial_takes_time_and_no_random_numbers() -> None:
    before = torch.get_rng_state()

    assert all(0 < precision._time_products(dtype) < 30 for dtype in (torch.float32, torch.bfloat16))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_named_precision_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_time_products", lambda dtype: pytest.fail("timed"))

    assert precision.choose_dtype("float32") is torch.float32
    assert precision.choose_dtype("bfloat16") is torch.bfloat16
