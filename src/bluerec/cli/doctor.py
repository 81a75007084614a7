"""The verb `doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import JsonOption
from bluerec.diagnosis import diagnose, diagnose_store


def doctor_command(
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="STORE", help="Look through this store instead, a service may run on it."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Tell what is installed, which models resolve to what, device and free disk; for each fault the remedy.

    With --store, whether a store is whole: its files, every row, its embedder, queue and keys. Exit status 0 if the
    demo can run, or the store be served, 2 if not.
    """
    findings = diagnose() if store is None else diagnose_store(store)
    faults = [finding for finding in findings if finding.status == "fault"]
    if json:
        console.print_json({"ok": not faults, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            console.print_result(f"{finding.status:<9}{finding.name:<23}{finding.value}{remedy}")
        good, bad = ("the demo can run: bluerec demo", "the demo cannot run yet")
        if store is not None:
            good, bad = f"the store can be served: bluerec serve {store}", "the store is not whole"
        console.say(f"{len(faults)} fault(s): {bad}" if faults else good)
    if faults:
        raise typer.Exit(2)
