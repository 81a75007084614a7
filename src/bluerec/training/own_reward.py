"""A reward of one's own in a run: looked at before anything else is loaded, and the same code when the run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bluerec.config import Config
from bluerec.errors import ConfigError
from bluerec.rewards.own import check_own_reward
from bluerec.runs import CONFIG_FILE, read_json
from bluerec.training.session import Say

# Its key in config.json, beside the settings.
OWN_REWARD_KEY = "own_reward"


def settle_own_reward(config: Config, out: Path, *, resume: bool, say: Say) -> tuple[Config, dict[str, dict[str, str]]]:
    """The settings with an absolute path, and what the run folder keeps of the reward; both as they are without one.

    A run that goes on takes the file that it began with, from wherever it is called. Raises `ConfigError` where the
    code cannot be used, or is another than at the beginning of the run.
    """
    place = config.own_reward.function
    if config.own_reward.weight == 0:
        if place:
            say(f"warning: own_reward.function={place!r} is not used, its weight is 0; set own_reward.weight")
        return config, {}
    # A run from before it was kept is taken as it is.
    saved = read_json(out / CONFIG_FILE, "run folder").get(OWN_REWARD_KEY) if resume else None
    found = check_own_reward(saved["function"] if saved else place)
    if saved and saved.get("digest") != found.get("digest"):
        raise ConfigError(
            f"{found.get('file', place)} has changed since {out} was begun (own_reward.function): one run has one "
            "reward; put the file back, or begin a new run with another --out"
        )
    own = replace(config.own_reward, function=found["function"])
    return replace(config, own_reward=own), {OWN_REWARD_KEY: found}
