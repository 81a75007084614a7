"""A quantised model in one GGUF file becomes a folder that Transformers loads quickly, once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bluerec.errors import MissingExtraError, ModelError


def convert_gguf(path: Path, cache: Path, announce: Callable[[str], None] | None) -> Path:
    """The folder of the safetensors copy of a GGUF model, made on first use in the folder `cache`.

    Transformers refuses to save a dequantised model as it is, so its weights move into a fresh model of the same
    configuration. The folder appears under its final name only when whole. Raises `ModelError` if it cannot be written.
    """
    stat = path.stat()
    folder = cache / f"{path.stem}-{stat.st_size}"
    if (folder / "config.json").is_file():
        return folder
    if announce:
        announce(f"converting {path.name} ({stat.st_size / 1e6:.0f} MB) once, about half a minute")
    try:
        import gguf  # noqa: F401
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtraError(error.name or "gguf", "models") from error
    logging.disable_progress_bar()
    quantised = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    model.tie_weights()
    model.generation_config = quantised.generation_config
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".converting-", dir=folder.parent))
    except OSError as error:
        raise ModelError(
            f"{folder.parent}: cannot be written ({error.strerror}); set BLUEREC_CACHE to another folder"
        ) from error
    try:
        model.save_pretrained(partial)
        AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(partial)
        partial.replace(folder)
    except OSError as error:
        if (folder / "config.json").is_file():  # another process was faster
            return folder
        raise ModelError(
            f"{partial}: cannot be written ({error.strerror or error}); free space or set BLUEREC_CACHE"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
