"""Models of the real classes with random weights, small enough to build in a test, and a tokenizer for them."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
)

SPECIAL_TOKENS = ["<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message['role'] }}\n{{ message['content'] }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def build_tokenizer(special: str = "<bos> $A") -> PreTrainedTokenizerFast:
    """One token per byte and a few merges, so that any text can be written; `special` is what frames a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("a", "n"), ("Ġ", "g"), ("Ġ", "A")]
    vocabulary = {token: row for row, token in enumerate([*SPECIAL_TOKENS, *alphabet, *("".join(m) for m in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    frame = [(token, vocabulary[token]) for token in ("<bos>", "<eos>")]
    tokenizer.post_processor = processors.TemplateProcessing(single=special, special_tokens=frame)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<end_of_turn>",
        pad_token="<pad>",
        additional_special_tokens=["<start_of_turn>"],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
    )


def _sizes(vocabulary: int) -> dict:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 4,
        "initializer_range": 0.2,  # far from zero, so that different texts give different numbers
    }


def build_causal(family: str):
    """A causal language model of `llama`, `gemma3` or `qwen3` with random weights, and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    sizes = _sizes(len(tokenizer))
    if family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**sizes))
    elif family == "gemma3":
        # A window shorter than the prompts, so that the sliding layers are really cut.
        config = Gemma3TextConfig(
            **sizes, head_dim=8, sliding_window=16, layer_types=["sliding_attention", "full_attention"]
        )
        model = Gemma3ForCausalLM(config)
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**sizes, head_dim=8))
    return model.eval(), tokenizer


def save_causal(family: str, folder: Path) -> Path:
    model, tokenizer = build_causal(family)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_last_token_embedder(folder: Path, *, padding_side: str = "left", seed: int = 0) -> Path:
    """A Qwen3 embedder with last-token pooling and a query prompt, as a sentence-transformers folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    torch.manual_seed(seed)
    tokenizer = build_tokenizer("$A <eos>")  # Qwen3 embedders read the state of an end mark
    tokenizer.padding_side = padding_side
    weights = folder.with_name(f"{folder.name}-weights")
    Qwen3Model(Qwen3Config(**_sizes(len(tokenizer)), head_dim=8)).save_pretrained(weights)
    tokenizer.save_pretrained(weights)
    transformer = modules.Transformer(str(weights), max_seq_length=128)
    pooling = modules.Pooling(transformer.get_embedding_dimension(), pooling_mode="lasttoken")
    model = SentenceTransformer(
        modules=[transformer, pooling, modules.Normalize()],
        prompts={"query": "Instruct: find\nQuery:", "document": "DOCUMENT "},
        default_prompt_name="document",
        device="cpu",
    )
    model.save(str(folder))
    # As the published Qwen3 embedders are: no record of modalities, so that their chat template is left alone.
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 128, "do_lower_case": false}')
    return folder
