"""The private parts of TRL and Transformers that we stand on: an upgrade that moves one fails here, not in an hour."""

import inspect

import torch
from peft import PeftModel
from transformers import AttentionInterface, DynamicCache, Trainer
from trl import GRPOTrainer
from trl.trainer.utils import split_tensor_dict


def parameters(method) -> list[str]:
    return list(inspect.signature(method).parameters)


def test_replaced_methods_are_called_as_before() -> None:
    assert parameters(GRPOTrainer._tokenize_prompts) == ["self", "prompts"]
    assert parameters(GRPOTrainer._generate_single_turn)[:5] == [
        "self", "prompt_ids", "images", "multimodal_fields", "num_generations",
    ]  # fmt: skip
    assert parameters(GRPOTrainer._calculate_rewards) == [
        "self", "inputs", "prompts", "completions", "completion_ids_list",
    ]  # fmt: skip
    assert parameters(GRPOTrainer._prepare_inputs) == ["self", "generation_batch"]
    assert parameters(GRPOTrainer._get_per_token_logps_and_entropies)[:5] == [
        "self", "model", "input_ids", "attention_mask", "logits_to_keep",
    ]  # fmt: skip


def test_what_the_fault_watch_reads_is_there() -> None:
    assert parameters(GRPOTrainer.training_step) == ["self", "model", "inputs", "num_items_in_batch"]
    assert 'self._metrics[mode]["completions/clipped_ratio"].append' in inspect.getsource(GRPOTrainer._generate)
    assert 'self._metrics[mode]["entropy"].append' in inspect.getsource(GRPOTrainer._compute_loss)
    source = inspect.getsource(Trainer._run_epoch)
    assert source.index("on_pre_optimizer_step") < source.index("self.optimizer.step()")


def test_checkpoints_are_extended_where_they_are_not_whole_yet() -> None:
    save = inspect.getsource(Trainer._save_checkpoint)
    assert save.index("self._save_rng_state(output_dir)") < save.index("self.state.save_to_json")
    assert parameters(Trainer._load_rng_state) == ["self", "checkpoint"]
    assert parameters(GRPOTrainer._get_train_sampler) == ["self", "dataset"]
    source = inspect.getsource(GRPOTrainer._get_train_sampler)
    assert "return RepeatSampler(" in source
    assert "self._step += 1" in inspect.getsource(GRPOTrainer.training_step)


def test_cards_are_written_where_we_write_none() -> None:
    assert "self.create_or_update_model_card(save_directory)" in inspect.getsource(PeftModel.save_pretrained)
    assert "self.create_model_card(" in inspect.getsource(GRPOTrainer._save_checkpoint)


def test_our_order_of_rows_replaces_just_this() -> None:
    source = inspect.getsource(GRPOTrainer._prepare_inputs)
    for expected in (
        "self.args.steps_per_generation * self.num_iterations",
        "self._step % generate_every == 0 or self._buffered_inputs is None",
        "self._generate_and_score_completions(generation_batch)",
        "shuffle_sequence_dict(generation_batch)",
        "self._buffered_inputs[self._step % self.args.steps_per_generation]",
    ):
        assert expected in source


def test_callers_pass_what_we_read() -> None:
    generate = inspect.getsource(GRPOTrainer._generate)
    assert "prompt_ids, images, multimodal_fields, num_generations" in generate
    assert "prompt_ids, images, multimodal_fields = self._tokenize_prompts(prompts)" in generate
    loss = inspect.getsource(GRPOTrainer._compute_loss)
    assert "logits_to_keep = completion_ids.size(1)" in loss
    assert "torch.cat([prompt_ids, completion_ids], dim=1)" in loss


def test_batches_are_split_in_order() -> None:
    parts = split_tensor_dict({"rows": torch.arange(6), "count": torch.tensor(3)}, 3)
    assert [part["rows"].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert all(int(part["count"]) == 3 for part in parts)


def test_gradients_flow_through_a_cache_filled_from_another() -> None:
    prompts, cache = DynamicCache(), DynamicCache()
    keys = torch.randn(2, 1, 3, 4, requires_grad=True)
    prompts.update(keys, keys, 0)
    rows = torch.tensor([1, 1, 0])
    cache.update(prompts.layers[0].keys[rows], prompts.layers[0].values[rows], 0)
    assert cache.layers[0].keys.shape == (3, 1, 3, 4)
    assert prompts.get_seq_length() == cache.get_seq_length() == 3
    cache.layers[0].keys.sum().backward()
    assert keys.grad[:, 0, 0, 0].tolist() == [1.0, 2.0]


def test_attention_functions_can_be_added() -> None:
    assert callable(AttentionInterface.register)
