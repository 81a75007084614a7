"""The settings for larger machines are what the libraries understand, and small models are kept in float32."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_models
import tiny_runs
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DeepSpeedPlugin, DistributedType, FullyShardedDataParallelPlugin

from bluerec.config import config_from_dict, load_config
from bluerec.errors import ConfigError
from bluerec.training.grpo_stage import _grpo_config
from bluerec.training.processes import Processes, check_processes
from bluerec.training.profiler import train_profiler
from bluerec.training.session import list_rounds
from bluerec.training.sharing import SHARDED, find_generation_obstacle, find_loss_obstacle, is_sharded

SCALE = Path(__file__).resolve().parent.parent.parent / "configs" / "scale"

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


def launch_arguments(name: str):
    parsed = launch_command_parser().parse_args(["--config_file", str(SCALE / name), "-m", "bluerec", "train"])
    return _validate_launch_command(parsed)[0]


def test_deepspeed_is_configured_as_accelerate_reads_it() -> None:
    config = load_config_from_file(str(SCALE / "deepspeed-zero2.yaml"))  # refuses unknown keys
    assert config.distributed_type == DistributedType.DEEPSPEED
    arguments = launch_arguments("deepspeed-zero2.yaml")
    assert (arguments.use_deepspeed, int(arguments.zero_stage), arguments.num_processes) == (True, 2, 4)
    assert arguments.gradient_accumulation_steps == "auto"  # the recipe's
    known = set(DeepSpeedPlugin.__dataclass_fields__) | {
        "deepspeed_config_file", "offload_optimizer_device", "offload_param_device", "gradient_accumulation_steps",
        "zero3_init_flag", "zero_stage", "gradient_clipping",
    }  # fmt: skip
    assert set(config.deepspeed_config) <= known


def test_fsdp_is_configured_as_accelerate_reads_it() -> None:
    config = load_config_from_file(str(SCALE / "fsdp2.yaml"))
    assert config.distributed_type == DistributedType.FSDP
    arguments = launch_arguments("fsdp2.yaml")
    assert (arguments.use_fsdp, int(arguments.fsdp_version), arguments.num_processes) == (True, 2, 4)
    known = FullyShardedDataParallelPlugin.__dataclass_fields__
    fields = {name.removeprefix("fsdp_") for name in config.fsdp_config}
    renamed = {"version": "fsdp_version", "offload_params": "cpu_offload"}
    assert {renamed.get(name, name) for name in fields} <= set(known)


def test_the_vllm_recipe_is_what_trl_understands(tmp_path: Path) -> None:
    config = load_config(SCALE / "gemma-vllm.toml")
    session = SimpleNamespace(config=config, processes=Processes(0, 4))
    check_processes(config, 4)
    run = SimpleNamespace(path=tmp_path)
    args = _grpo_config(session, list_rounds(config, run)[0], [1.0])
    assert (args.use_vllm, args.vllm_mode, args.bf16) == (True, "colocate", True)
    assert args.gradient_accumulation_steps == 8  # 32 users, one at once in each of 4 processes


def test_split_weights_take_the_plain_paths() -> None:
    model, _ = tiny_models.build_causal("llama")
    args = SimpleNamespace(gradient_checkpointing=False, use_vllm=False)
    assert find_loss_obstacle(model, args, is_sharded=True) == SHARDED
    assert find_generation_obstacle(model, args, is_sharded=True) == SHARDED

    def state(**plugins) -> SimpleNamespace:
        return SimpleNamespace(state=SimpleNamespace(**plugins))

    assert not is_sharded(state())
    assert not is_sharded(state(fsdp_plugin=None, deepspeed_plugin=SimpleNamespace(zero_stage=2)))
    assert is_sharded(state(deepspeed_plugin=SimpleNamespace(zero_stage=3)))
    assert is_sharded(state(fsdp_plugin=object()))


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_small_models_are_not_trained_in_sixteen_bits(tmp_path: Path, name: str) -> None:
    settings = tiny_runs.build_settings(tmp_path / "tiny")
    config = config_from_dict(settings | {"trl": {name: True}})
    with pytest.raises(ConfigError, match=rf"trl\.{name}=true: .* below 200M the loss needs float32"):
        train_profiler(tiny_runs.build_dataset(), config, tmp_path / "run")
