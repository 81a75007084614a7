"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from bluerec.sections import MAX_SEED

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Never download a model or a file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override a setting (docs/config.md), e.g. embedder.model=NAME; may be repeated.",
    ),
]
AdapterOption = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        help="A LoRA adapter or run folder, shipped, or none. [default: shipped with the embedded model, else none]",
    ),
]
SeedOption = Annotated[
    int,
    typer.Option("--seed", min=0, max=MAX_SEED, help="The seed from which all randomness of this command derives."),
]
ExactUpToOption = Annotated[
    int,
    typer.Option(
        "--exact-up-to", min=0, help="Search this many items exactly; more get an index (pip install 'bluerec[ann]')."
    ),
]
