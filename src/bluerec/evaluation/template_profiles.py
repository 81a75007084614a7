"""Profiles by rule: the most frequent words and categories of the history, as a sentence each.

The control for every written profile: what a language model adds must rank above what a word count says.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable
from bluerec.data.profiles import PROFILES_SCHEMA
from bluerec.profiling.word_profiles import TEMPLATE_WRITER, compose_profile
from bluerec.types import Profile


def write_template_profiles(table: ExampleTable) -> pl.DataFrame:
    """One profile for each example in the schema of profile tables; there is no tokenizer, so `n_tokens` is null."""
    data = table.dataset
    items = {int(row): data.item(int(row)) for row in np.unique(data.item_rows[table.history_events()[0]])}
    texts = [compose_profile([items[int(row)] for row in table.history_rows(place)]) for place in range(len(table))]
    lengths = (table.history_stop - table.history_start).tolist()
    columns = zip(table.user_ids, texts, table.cutoffs.tolist(), strict=True)
    profiles = [Profile(user, text, cutoff, TEMPLATE_WRITER, "frequent-words") for user, text, cutoff in columns]
    frame = pl.DataFrame(
        {
            "profile_id": [profile.profile_id for profile in profiles],
            "example_id": table.example_ids,
            "user_id": table.user_ids,
            "split": table.splits.tolist(),
            "cutoff": table.cutoffs,
            "text": texts,
            "writer": [profile.writer for profile in profiles],
            "template": [profile.template for profile in profiles],
            "n_events": lengths,
            "n_omitted": [0] * len(profiles),
            "n_tokens": None,
        }
    )
    return frame.select(pl.col(name).cast(kind) for name, kind in PROFILES_SCHEMA.items())
