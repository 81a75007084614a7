"""The profiler in its roles during training: trained, sampled from, and read with its adapter off."""

from __future__ import annotations

from pathlib import Path

from bluerec.config import Config
from bluerec.profiling.judges import GradeJudge
from bluerec.profiling.models import Profiler
from bluerec.profiling.precision import choose_dtype
from bluerec.profiling.readers import LetterReader, LikelihoodReader
from bluerec.profiling.writers import find_stop_tokens
from bluerec.training.adapters import prepare_lora
from bluerec.types import Reader


class Policy:
    """A model with LoRA weights, and a copy that samples (`rollouts`)."""

    def __init__(self, profiler: Profiler, config: Config, adapter: Path | None, *, seed: int) -> None:
        from transformers import set_seed

        from bluerec.training.rollouts import RolloutModel

        self._profiler = profiler
        self._config = config
        self.tokenizer = profiler.tokenizer
        self.stop_tokens = find_stop_tokens(profiler)
        self._dtype = choose_dtype(config.train.rollout_dtype)
        # A copy in memory that nobody would use where vLLM samples.
        self.rollouts = None if config.trl.get("use_vllm") else RolloutModel(profiler.model, self._dtype)
        set_seed(seed)  # the trainer sets it too, but after the adapter has drawn its first weights
        self.model = prepare_lora(profiler, adapter, config)

    @property
    def window(self) -> int:
        """Tokens that the model can read at once, as its tokenizer and its positions say."""
        limits = [getattr(self.tokenizer, "model_max_length", None)]
        limits.append(getattr(self.model.config.get_text_config(), "max_position_embeddings", None))
        return min(int(limit) for limit in limits if limit)

    def reader(self) -> Reader | None:
        """The frozen base model that answers the multiple choice."""
        if self._config.choice_reward.weight == 0:
            return None
        kind = LikelihoodReader if self._config.choice_reward.scoring == "likelihood" else LetterReader
        return kind(
            self.model, self.tokenizer, self._profiler.name, frozen=self.model.disable_adapter, dtype=self._dtype
        )

    def judge(self) -> GradeJudge | None:
        """The frozen base model that grades profiles."""
        if self._config.quality_reward.weight == 0:
            return None
        return GradeJudge(
            self.model, self.tokenizer, self._profiler.name, frozen=self.model.disable_adapter, dtype=self._dtype
        )
