"""Pages whose tables come from a record: every number is that of the results, and nothing else is touched."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from bench_fixtures import run_bench, save_toy

from bluerec.errors import ConfigError, DataError
from bluerec.evaluation.bench_fill import fill_page, find_runs
from bluerec.evaluation.bench_record import Record, load_record, save_record
from bluerec.evaluation.bench_table import pick

MEANS = 'columns = ["toy, 10", "toy, full", "toy: words per profile"]\nrows = ["popularity", "profile*"]'
PLACE = {"dataset": "toy", "protocol": "leave-one-out", "mask": "masked"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("record")
    pairs = [["profile:template", "popularity"], ["popularity", "random"]]
    found, _ = run_bench(save_toy(folder / "data"), folder / "run", differences=pairs)
    identity = {"settings_digest": "s0", "created": "2026-01-02T03:04:05+00:00", "versions": {"torch": "9.9"}}
    return json.loads(json.dumps({**found, "identity": found["identity"] | identity}))


@pytest.fixture
def record(results: dict[str, Any], tmp_path: Path) -> Record:
    save_record(results, tmp_path / "tiny.json")
    return load_record(tmp_path / "tiny.json")


def fill(record: Record, wanted: str, before: str = "") -> str:
    page = f'Head.\n\n<!-- table\nrun = "tiny"\n{wanted}\n-->\n{before}<!-- end table -->\n\nTail: .5 of them.\n'
    filled = fill_page(page, {"tiny": record})
    assert filled.startswith(page.split("-->")[0])
    assert filled.endswith("<!-- end table -->\n\nTail: .5 of them.\n")
    assert fill_page(filled, {"tiny": record}) == filled
    return filled.split("-->\n")[1].split("<!-- end")[0]


def read_numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"[+-]?\d*\.\d+", text)]


def test_a_record_gives_back_what_tables_are_made_of(results: dict[str, Any], record: Record) -> None:
    for kind in ("rows", "differences", "measures", "groups"):
        kept = [row for row in results[kind] if row.get("metric", "ndcg@10") in ("ndcg@10", "recall@10")]
        assert len(record[kind]) == len(kept) > 0
        for own, whole in zip(record[kind], kept, strict=True):
            for key, value in own.items():
                assert value == (pytest.approx(whole[key], rel=1e-5) if isinstance(whole[key], float) else whole[key])


def test_numbers_are_those_of_the_results(results: dict[str, Any], record: Record) -> None:
    head, _, *lines = fill(record, MEANS).splitlines()
    assert head == "| system | toy, 10 | toy, full | toy: words per profile |"
    names = [line.split("`")[1] for line in lines]
    assert names == ["popularity", "profile:template", "profile+history:template"]
    for name, line in zip(names, lines, strict=True):
        cells = line.strip("| ").split(" | ")[1:]
        for pool, cell in zip(("10", "full"), cells, strict=False):
            (row,) = pick(results["rows"], system=name, pool=pool, metric="ndcg@10", **PLACE)
            assert read_numbers(cell) == pytest.approx([row["mean"], row["low"], row["high"]], abs=5.1e-5)
    (words,) = pick(results["measures"], system="template", measure="words per profile")
    assert read_numbers(lines[1].split(" | ")[3])[0] == pytest.approx(words["mean"], abs=0.051)
    assert lines[0].endswith("|  |")  # popularity has no words
    recall = fill(record, MEANS + '\nmetric = "recall@10"').splitlines()[2]
    (row,) = pick(results["rows"], system="popularity", pool="10", metric="recall@10", **PLACE)
    assert read_numbers(recall)[0] == pytest.approx(row["mean"], abs=5.1e-5)


def test_differences_carry_their_sign_and_star(results: dict[str, Any], record: Record) -> None:
    lines = fill(record, 'show = "differences"\ncolumns = ["toy, 10", "toy, full"]').splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [
        "| `profile:template` - `popularity`",
        "| `popularity` - `random`",
    ]
    for line, own in zip(lines, ("profile:template", "popularity"), strict=True):
        for pool, cell in zip(("10", "full"), line.strip("| ").split(" | ")[1:], strict=True):
            (row,) = pick(results["differences"], system=own, pool=pool, metric="ndcg@10")
            assert read_numbers(cell) == pytest.approx([row["difference"], row["low"], row["high"]], abs=5.1e-5)
            assert cell.endswith("*") == (row["p_holm"] < 0.05)
            assert cell[0] in "+-"


def test_measures_and_groups(results: dict[str, Any], record: Record) -> None:
    shown = fill(record, 'show = "measures"\ndata = "toy"\ncolumns = ["template"]')
    measures = {row["measure"] for row in results["measures"] if row["system"] == "template"}
    assert {line.strip("| ").split(" | ")[0] for line in shown.splitlines()[2:]} >= measures
    shown = fill(record, 'show = "groups"\ndata = "toy"\npool = "full"\nrows = ["popularity"]')
    groups = pick(results["groups"], system="popularity", pool="full", metric="ndcg@10")
    assert read_numbers(shown.splitlines()[2])[::3] == pytest.approx([row["mean"] for row in groups], abs=5.1e-5)
    assert f"{groups[0]['group']} events ({groups[0]['n_users']} users)" in shown


def test_where_they_come_from(record: Record) -> None:
    shown = fill(record, 'show = "source"')
    for part in ("    bluerec bench", "`c0`", "`s0`", "seed 0", "2026-01-02", "toy 25"):
        assert part in shown


def test_what_was_there_before_is_written_anew(record: Record) -> None:
    assert fill(record, MEANS, "| by hand | .9999 |\n") == fill(record, MEANS)


def test_tables_of_other_runs_stay(record: Record) -> None:
    page = f'<!-- table\nrun = "other"\n{MEANS}\n-->\n| kept |\n<!-- end table -->'
    assert fill_page(page, {"tiny": record}) == page
    assert find_runs(page) == ["other"]
    assert find_runs(f"{page}\n\n{page.replace('other', 'tiny')}\n{page}") == ["other", "tiny"]
    assert find_runs("no <!-- comment --> of this kind, nor\n\n    <!-- table\n    run = 'x'\n    -->\n") == []


def test_line_ends_stay_as_they_are(record: Record) -> None:
    page = f'Head.\n\n<!-- table\nrun = "tiny"\n{MEANS}\n-->\n<!-- end table -->\n\nTail.\n'
    filled = fill_page(page.replace("\n", "\r\n"), {"tiny": record})
    assert filled == fill_page(page, {"tiny": record}).replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<!-- end table -->", ""),
        ("<!-- end table -->", "<!--end table-->"),
        ("<!-- table", "<!--table"),
        ("-->\n<", "-->x\n<"),
    ],
)
def test_a_comment_without_its_end_loses_nothing(old: str, new: str, record: Record) -> None:
    block = f'<!-- table\nrun = "tiny"\n{MEANS}\n-->\n<!-- end table -->\n'
    for page in (f"{block.replace(old, new)}\nPRECIOUS\n", f"{block.replace(old, new)}\nPRECIOUS\n\n{block}"):
        with pytest.raises(ConfigError, match="the comment of a table has no end"):
            fill_page(page, {"tiny": record})


def test_measures_are_those_of_the_protocol(record: Record) -> None:
    with pytest.raises(ConfigError, match="no measures of data 'toy' under global-time"):
        fill(record, 'show = "measures"\ndata = "toy"\ncolumns = ["template"]\nprotocol = "global-time"')
    rows = [row | {"protocol": "global-time", "mean": 9.0, "low": 8.0, "high": 9.5} for row in record["measures"]]
    both = {
        **record,
        "measures": [*record["measures"], *rows],
        "arenas": [*record["arenas"], record["arenas"][0] | {"protocol": "global-time"}],
    }
    wanted = 'columns = ["toy: words per profile"]\nrows = ["profile:template"]'
    assert fill(both, wanted) == fill(record, wanted)
    shown = fill(both, f'{wanted}\nprotocol = "global-time"')
    assert "9.000 (8.000 to 9.500)" in shown
    assert fill(both, 'show = "source"').count("toy 25") == 1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ('columns = ["toy, full"]\nrows = ["sasrec"]', "line 3: nothing is called 'sasrec'; choose from random"),
        ('columns = ["games, full"]\nrows = ["random"]', "nothing is known of column 'games, full'"),
        ('columns = ["toy"]\nrows = ["random"]', "write 'DATA, POOL' or 'DATA: MEASURE'"),
        ('columns = ["toy, full"]', "needs 'rows'"),
        ('show = "all"', "choose from means, differences"),
        ("column = []", "no key 'column'"),
        ('columns = [1]\nrows = ["random"]', "columns = [1]: write texts in brackets"),
        ('columns = []\nrows = ["random"]', "columns = []: write texts in brackets"),
        ('show = ["means"]', "write a text"),
        ('show = "groups"\ndata = "toy"\npool = "7"\nrows = ["random"]', "no groups of data 'toy' in pool '7'"),
        ("rows = [", "line 3: "),
    ],
)
def test_a_table_that_cannot_be_is_named(wanted: str, message: str, record: Record) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        fill(record, wanted)


@pytest.mark.parametrize("content", ["[]", '{"schema": "x"}', '{"schema": "bluerec-record-1", "rows": [[1]]}', "{"])
def test_a_damaged_record_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(content)
    with pytest.raises(DataError, match=r"tiny\.json"):
        load_record(tmp_path / "tiny.json")
