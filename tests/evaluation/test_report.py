"""The page: its numbers are those given, its texts are text, and it stands alone."""

import base64
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_fixtures import results_content, write_results, write_run

from bluerec.errors import DataError
from bluerec.evaluation.charts import format_number, format_signed
from bluerec.evaluation.comparisons import combine_results
from bluerec.evaluation.curves import load_training_run
from bluerec.evaluation.findings import find_outcomes, find_warnings
from bluerec.evaluation.report import Report, build_report, load_report_inputs, save_report
from bluerec.evaluation.results import Results, load_results
from bluerec.evaluation.showcase import NearItem, ShownProfile, ShownUser
from bluerec.types import Event, Example, History, Interaction, Item

HOSTILE = (
    "</title></style><script>alert(1)</script><img src=x onerror=alert(2)> \u202egnp.exe \x00\x1b[2J\ud800 {{ 7*7 }}"
)
VOID = {"meta", "img", "br", "input", "link", "hr", "rect"}


class Page(HTMLParser):
    """Elements, texts and table cells of a page; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += " " + data.strip()

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def load(tmp_path: Path, name: str = "results", **identity: Any) -> Results:
    return load_results(write_results(tmp_path / f"{name}.json", results_content(**identity)))


def shown_user(text: str, title: str) -> ShownUser:
    item, target = Item("i1", title), Item("i2", "the target")
    events = (Event(Interaction("user 7", "i1", 3, 4.0), item),)
    example = Example("user 7@9", History("user 7", events, 9), target, "test")
    nearest = (NearItem(item, 0.61, False), NearItem(target, 0.52, True))
    return ShownUser(example, 2, (ShownProfile("trained", text, 58, 16850, nearest),))


def test_the_numbers_are_those_given(tmp_path: Path) -> None:
    results = load(tmp_path)
    page = Page(build_report(Report([results])))
    by_ranker = {cells[0].strip(): [cell.split() for cell in cells[1:]] for cells in page.rows if len(cells) == 5}
    for ranker in ("popularity", "profile:trained", "profile:untrained"):
        expected = [
            row
            for pool in ("100", "full")
            for metric in ("ndcg@10", "recall@10")
            for row in results.rows
            if (row.ranker, row.pool, row.metric) == (ranker, pool, metric)
        ]
        assert by_ranker[ranker] == [
            [format_number(row.mean), f"{format_number(row.low)}–{format_number(row.high)}"] for row in expected
        ]
    pair = results.paired[0]
    assert f"a difference of {format_signed(pair.difference)} (95% interval +0.0050 to +0.0090" in page.text
    assert "< 0.001" in page.text
    assert "NDCG@10 0.0112 against 0.0042" in page.text


def test_the_best_of_a_column_is_bold_and_rows_are_ordered(tmp_path: Path) -> None:
    html = build_report(Report([load(tmp_path)]))
    first_table = html[html.index("<tbody>") : html.index("</tbody>")]
    assert re.findall(r"<bdi>([\w:]+)</bdi>", first_table) == ["profile:trained", "popularity", "profile:untrained"]
    assert first_table.split("</tr>")[0].count("best") == 4
    assert first_table.count("best") == 4
    assert first_table.count('class="profile"') == 2


def test_all_parts_stand_on_the_page(tmp_path: Path) -> None:
    run = load_training_run(write_run(tmp_path / "blue-run", n_steps=40, is_whole=True))
    user = shown_user("Likes slow games.", "Old Game")
    page = Page(build_report(Report([load(tmp_path)], [run], [user], "The title")))
    for text in (
        "The title", "Popularity may see the future.", "Reward: embedding", "Copied from titles", "profile of step 40",
        "Likes slow games.", "Old Game", "rank 58 of 16,850", "2 earlier", "d1d1", "c2c2", "bluerec evaluate games",
    ):  # fmt: skip
        assert text in page.text
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [attributes["href"] for attributes in page.find("a")]
    assert links
    assert all(link is not None and link.lstrip("#") in targets for link in links)


def test_the_page_stands_alone(tmp_path: Path) -> None:
    run = load_training_run(write_run(tmp_path / "blue-run", n_steps=4, is_whole=False))
    html = build_report(Report([load(tmp_path)], [run]))
    page = Page(html)
    assert "src" not in {name for _, attributes in page.elements for name in attributes}
    assert not page.find("link")
    assert not re.search(r"https?://|url\(|@import", html)
    policy = next(meta["content"] for meta in page.find("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in (policy or "")
    assert "default-src 'none'" in (policy or "")


def test_every_chart_is_told_to_those_who_do_not_see_it(tmp_path: Path) -> None:
    run = load_training_run(write_run(tmp_path / "blue-run", n_steps=4, is_whole=True))
    page = Page(build_report(Report([load(tmp_path)], [run])))
    charts = page.find("svg")
    assert len(charts) > 10
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert all(region["tabindex"] == "0" for region in page.find("div") if region.get("class") == "scroll")


def test_every_text_is_only_text(tmp_path: Path) -> None:
    content = results_content(data=HOSTILE, embedder=HOSTILE, command=HOSTILE, split=HOSTILE, protocol=HOSTILE)
    content["identity"]["profiles"][0] = dict.fromkeys(("name", "writer", "template", "digest"), HOSTILE)
    for row in content["rows"]:
        row["ranker"] = HOSTILE + row["ranker"]
    for pair in content["paired"]:
        pair["a"], pair["b"] = HOSTILE + "a", HOSTILE + "b"
    content["notes"] = [HOSTILE]
    results = load_results(write_results(tmp_path / "results.json", content))
    run = load_training_run(write_run(tmp_path / "run", n_steps=3, is_whole=False))
    hostile_rows = tuple(
        {**row, "samples": [{"example_id": HOSTILE, "text": HOSTILE, "reward": HOSTILE}], "watch": {HOSTILE: 0.5},
         "rewards": {HOSTILE: 1.0}} for row in run.rows
    )  # fmt: skip
    hostile_run = replace(run, name=HOSTILE, rows=hostile_rows, environment={HOSTILE: [HOSTILE]})
    report = Report([results], [hostile_run, hostile_run], [shown_user(HOSTILE, HOSTILE)], HOSTILE)
    plain = Report([load(tmp_path)], [run, run], [shown_user("text", "title")], "title")
    html = build_report(report)
    page = Page(html)
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in Page(build_report(plain)).elements} | {"p"}
    assert html.count("<script") == 1
    assert "alert(1)" in page.text
    assert "{{ 7*7 }}" in page.text
    assert not {"\u202e", "\x00", "\x1b", "\ud800"} & set(html)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    html.encode()


def test_giant_texts_are_cut(tmp_path: Path) -> None:
    giant = "long title " * 100_000
    html = build_report(Report([load(tmp_path)], users=[shown_user(giant, giant)], title=giant))
    assert len(html) < 120_000
    cut = [text.strip() for text in Page(html).texts if text.strip().startswith("long title")]
    assert len(cut) > 1  # the title of the page, and the texts of the user
    assert all(text.endswith("…") for text in cut)


def test_an_empty_report_is_a_page() -> None:
    page = Page(build_report(Report()))
    assert "Nothing has been measured yet." in page.text


def test_results_without_rows_and_runs_without_steps(tmp_path: Path) -> None:
    content = {**results_content(), "rows": [], "paired": []}
    results = load_results(write_results(tmp_path / "empty.json", content))
    run = load_training_run(write_run(tmp_path / "young", n_steps=0, is_whole=False))
    page = Page(build_report(Report([results], [run])))
    assert "young: no step has been logged yet." in page.text
    assert "young has not finished: 0 of 100 steps" in page.text
    assert "games holds no results." in page.text


def test_warnings_name_what_must_not_be_overlooked(tmp_path: Path) -> None:
    small = load(tmp_path, "small", data="toy", data_digest="t", synthetic=True, split="validation")
    small = replace(small, rows=tuple(replace(row, n_users=240) for row in small.rows if row.pool == "100"))
    warnings = " ".join(find_warnings(combine_results([load(tmp_path), small]), []))
    for text in (
        "toy is a synthetic world", "toy: only 240 users", "toy: measured on validation users",
        "toy was not ranked against its full catalogue", "Among sampled candidates", "must not be compared",
        "Popularity may see the future.",
    ):  # fmt: skip
        assert warnings.count(text) == 1
    assert "games" not in warnings


def test_outcomes_are_as_sure_as_the_interval(tmp_path: Path) -> None:
    results = load(tmp_path)
    for low, high, verdict in (
        (0.005, 0.009, "profile:trained ranks better than profile:untrained"),
        (-0.001, 0.009, "profile:trained and profile:untrained cannot be told apart"),
    ):
        pairs = tuple(replace(pair, low=low, high=high) for pair in results.paired)
        assert verdict in find_outcomes(combine_results([replace(results, paired=pairs)]), [])[0]
    worse = tuple(replace(pair, difference=-0.007, low=-0.009, high=-0.005) for pair in results.paired)
    assert (
        "profile:trained ranks worse than profile:untrained"
        in find_outcomes(combine_results([replace(results, paired=worse)]), [])[0]
    )
    assert "profile:trained ranks best" in find_outcomes(combine_results([replace(results, paired=())]), [])[0]


def test_the_same_data_is_combined_and_other_data_kept_apart(tmp_path: Path) -> None:
    first, other = load(tmp_path), load(tmp_path, "other", data="beauty", data_digest="b")
    more = replace(first, rows=tuple(replace(row, ranker="co-occurrence") for row in first.rows[:1]), paired=())
    compared = combine_results([first, other, more])
    assert [comparison.data_name for comparison in compared] == ["games", "beauty"]
    assert len(compared[0].rows) == len(first.rows) + 1
    assert len(compared[0].identities) == 2
    again = combine_results([first, first])
    assert len(again[0].rows) == len(first.rows)
    unmasked = load(tmp_path, "unmasked", mask_seen=False)
    assert len(combine_results([first, unmasked])) == 2
    others = load(tmp_path, "others", examples_digest="0123456789abcdef")
    assert len(combine_results([first, others])) == 2


def test_one_name_with_other_numbers_is_told_apart(tmp_path: Path) -> None:
    first = load(tmp_path)
    second = replace(
        first,
        rows=tuple(replace(row, mean=row.mean + 0.1) if row.ranker == "profile:trained" else row for row in first.rows),
    )
    (compared,) = combine_results([first, second])
    assert {row.ranker for row in compared.rows} == {
        "popularity",
        "profile:trained",
        "profile:untrained",
        "profile:trained (file 2)",
    }
    assert {pair.a for pair in compared.paired} == {"profile:trained", "profile:trained (file 2)"}


def test_inputs_are_told_apart_and_faults_named(tmp_path: Path) -> None:
    path = write_results(tmp_path / "results.json")
    folders = [write_run(tmp_path / place / "blue", n_steps=2, is_whole=True) for place in ("a", "b")]
    results, runs = load_report_inputs([path, *folders])
    assert len(results) == 1
    assert [run.name for run in runs] == ["blue (1)", "blue (2)"]
    (tmp_path / "junk.json").write_bytes(b"\xff\xfejunk")
    (tmp_path / "other.json").write_text('{"schema": "something-else"}')
    write_results(
        tmp_path / "nan.json", {**results_content(), "rows": [{**results_content()["rows"][0], "mean": math.nan}]}
    )
    (tmp_path / "folder").mkdir()
    for name in ("absent.json", "nan.json", "junk.json", "other.json", "folder"):
        with pytest.raises(DataError, match=name) as caught:
            load_report_inputs([tmp_path / name])
        assert "\n" not in str(caught.value)


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    save_report(Report(title="One"), tmp_path / "deep" / "report.html")
    assert "<h1>One</h1>" in (tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        save_report(Report(), tmp_path / "file" / "report.html")
