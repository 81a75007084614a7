"""Where a prompt cannot be shared by its group: the plain path of TRL is taken there, and it is said why."""

from __future__ import annotations

from typing import Any

SHARDED = "the weights are split over processes"


def find_loss_obstacle(model: Any, args: Any, *, is_sharded: bool = False) -> str | None:
    """Why the loss cannot run each prompt once; None if it can. `args` is TRL's GRPOConfig."""
    if is_sharded:
        return SHARDED
    if args.gradient_checkpointing:
        return "gradient checkpointing keeps no keys and values"
    return _find_cache_obstacle(model)


def find_generation_obstacle(model: Any, args: Any, *, is_sharded: bool = False) -> str | None:
    """Why our own decoder cannot write the candidates; None if it can."""
    if args.use_vllm:
        return "vLLM writes the candidates"
    if is_sharded:
        return SHARDED
    obstacle = _find_cache_obstacle(model)
    if obstacle is None and not getattr(_plain(model), "_supports_attention_backend", False):
        return f"{type(_plain(model)).__name__} does not call Transformers' attention interface"
    return obstacle


def is_sharded(accelerator: Any) -> bool:
    """True where no process holds all weights: under FSDP, and in stage 3 of DeepSpeed."""
    plugin = getattr(accelerator.state, "deepspeed_plugin", None)
    stage = plugin.zero_stage if plugin is not None else 0
    return getattr(accelerator.state, "fsdp_plugin", None) is not None or int(stage) == 3


def _find_cache_obstacle(model: Any) -> str | None:
    plain = _plain(model)
    config = plain.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if getattr(plain, "_is_stateful", False) or kinds:
        return f"{type(plain).__name__} keeps a state beside keys and values"
    return None


def _plain(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
