"""The verb `doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from bluerec.cli import console
from bluerec.cli.options import JsonOption
from bluerec.diagnosis import diagnose


def doctor_command(json: JsonOption = False) -> None:
    """Tell what is installed, which models resolve to what, device and free disk; for each fault the remedy.

    Exit status 0 if the demo can run, 2 if not.
    """
    findings = diagnose()
    faults = [finding for finding in findings if finding.status == "fault"]
    if json:
        console.print_json({"ok": not faults, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            console.print_result(f"{finding.status:<9}{finding.name:<23}{finding.value}{remedy}")
        console.say(f"{len(faults)} fault(s): the demo cannot run yet" if faults else "the demo can run: bluerec demo")
    if faults:
        raise typer.Exit(2)
