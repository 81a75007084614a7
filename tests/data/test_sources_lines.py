"""Lines as tables: the fast and the slow way agree, bad lines are counted with their place, blocks do not matter."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.data.sources import blocks
from bluerec.data.sources import lines as lines_module
from bluerec.data.sources.findings import BadLines
from bluerec.data.sources.lines import Delimited, JsonLines, LineFormat, read_lines
from bluerec.errors import DataError

SCHEMA = pl.Schema({"user": pl.String(), "time": pl.Int64(), "stars": pl.Float64(), "tags": pl.List(pl.String())})
JSON = JsonLines(SCHEMA, required=("user",))
CSV = Delimited(pl.Schema({"user": pl.String(), "time": pl.Int64()}), ("user", "text", "time"), required=("user",))


def read(
    path: Path, line_format: LineFormat = JSON, *, limit: int = 100, skip: int = 0
) -> tuple[list[tuple], BadLines]:
    bad = BadLines(limit)
    tables = list(read_lines(path, line_format, bad, of="events", skip=skip))
    return [row for table in tables for row in table.rows()], bad


def write(folder: Path, *lines: str | bytes, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n")
    return path


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('{"user": "a", "time": 1, "stars": 5, "tags": ["x", null, 3]}', ("a", 1, 5.0, ["x", None, "3"])),
        ('{"user": 12345678901234567890123, "other": {"deep": [1]}}', ("12345678901234567890123", None, None, None)),
        ('{"user": "a", "time": "12", "stars": "4.5"}', ("a", 12, 4.5, None)),
        ('{"user": "a", "time": 1.5e3, "stars": ""}', ("a", 1500, None, None)),
        ('{"user": "a", "stars": NaN, "tags": "x"}', ("a", None, None, ["x"])),
        ("{'user': 'it\\'s', 'time': 7, 'tags': None, 'stars': 1.0}", ("it's", 7, 1.0, None)),
        ("{'user': u'caf\\xe9', 'tags': ('x', 'y')}", ("café", None, None, ["x", "y"])),
    ],
)
def test_a_line_is_read(tmp_path: Path, line: str, row: tuple) -> None:
    rows, bad = read(write(tmp_path, line))
    assert rows == [row]
    assert bad.total == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"user": "a"', "neither JSON nor a Python literal"),
        (b"hello", "neither JSON nor a Python literal"),
        (b"[1, 2]", "not an object"),
        (b'{"name": "a"}', "no user among the fields 'name'"),
        (b'{"user": ""}', "no user"),
        (b'{"user": null}', "no user"),
        (b'{"user": "a", "time": "yesterday"}', "time is 'yesterday', not of type Int64"),
        (b'{"user": "a", "time": 1.5}', "time is '1.5'"),
        (b'{"user": "a", "time": 99999999999999999999}', "time is"),
        (b'{"user": "a", "stars": [1]}', "stars is '[1]'"),
        (b'{"user": "\xff"}', "not UTF-8"),
        (b'{"user": "' + b"x" * (blocks.MAX_LINE_BYTES + 1) + b'"}', "line too long"),
        (b"__import__('os').system('true')", "neither JSON nor a Python literal"),
        (b'{"user": "a", "z": ' + b"[" * 5000 + b"]" * 5000 + b"}", "neither JSON nor a Python literal"),
    ],
)
def test_a_bad_line_is_counted_and_the_others_are_read(tmp_path: Path, line: bytes, reason: str) -> None:
    path = write(tmp_path, '{"user": "before"}', "", line, '{"user": "after"}')
    rows, bad = read(path)
    assert [row[0] for row in rows] == ["before", "after"]
    assert bad.counts == {"events": 1}
    assert bad.first.startswith(f"{path}:3: {reason}")
    with pytest.raises(DataError, match=r"a.jsonl:3: .*--max-bad-rows") as caught:
        read(path, limit=0)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_the_limit_counts_all_bad_lines(tmp_path: Path) -> None:
    path = write(tmp_path, *["junk"] * 40, '{"user": "a"}', *["junk"] * 3)
    assert read(path, limit=43)[1].total == 43
    with pytest.raises(DataError, match=r":44: .*more than 42 bad line"):
        read(path, limit=42)


def test_lines_of_a_quoted_field_belong_together(tmp_path: Path) -> None:
    path = write(tmp_path, "user,text,time", 'a,"one', 'two, ""three""",5', "b,x", 'c,"open,6', "d,x,7", name="a.csv")
    rows, bad = read(path, CSV, skip=1)
    assert ("a", 5) in rows
    assert bad.first.startswith(f"{path}:4: 2 values, the file has 3 columns")


def test_separators_of_two_characters_and_old_encodings(tmp_path: Path) -> None:
    line_format = Delimited(
        pl.Schema({"id": pl.String(), "title": pl.String()}), ("id", "title"), ("id",), "::", False, "latin-1"
    )
    path = write(tmp_path, 'One::Les "Misérables": part 1'.encode("latin-1"), "Two", name="movies.dat")
    rows, bad = read(path, line_format)
    assert rows == [("One", 'Les "Misérables": part 1')]
    assert bad.total == 1


@pytest.mark.parametrize("quoted", [True, False])
def test_sound_lines_are_read_at_once(quoted: bool) -> None:
    """Not line by line, which would take thirty times as long."""
    line_format = Delimited(CSV.schema, CSV.columns, CSV.required, quoted=quoted)
    assert line_format.parse_block(b"a,x,1\n\nb,,2\r\n").rows() == [("a", 1), ("b", 2)]
    assert JSON.parse_block(b'{"user": "a"}\n\n{"user": "b", "time": 3}\n')["user"].to_list() == ["a", "b"]


@pytest.mark.parametrize("lines", [b"a,x\n", b"a,x,1,2\n", b"a\nb,x,1,2\n", b"a,x\nb,x,1,2\n", b",,\n"])
def test_lines_of_another_number_of_values_are_not_sound(tmp_path: Path, lines: bytes) -> None:
    """Not even where what one has too many another has too few."""
    path = write(tmp_path, b"user,text,time\nfirst,x,0\n" + lines + b"last,x,9", name="a.csv")
    rows, bad = read(path, CSV, skip=1)
    assert rows == [("first", 0), ("last", 9)]
    assert bad.total == len(lines.splitlines())


lines = st.lists(
    st.one_of(
        st.builds(
            lambda user, time: json.dumps({"user": user, "time": time}),
            st.text(min_size=1, max_size=5),
            st.integers(0, 99),
        ),
        st.sampled_from(
            ["", "junk", "{'user': 'literal'}", '{"user": "u", "time": "7"}', "[]", '{"user": "' + "y" * 90 + '"}']
        ),
    ),
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(lines, st.integers(20, 200))
def test_the_size_of_blocks_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, some: list[str], size: int
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    path = folder / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join([*some, '{"user": "last"}']).encode()))
    whole = read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", size)
        assert read(path) == whole
        patch.setattr(blocks, "MAX_LINE_BYTES", 80)
        n_long = sum(len(line.encode()) >= 80 for line in some)
        assert read(path)[1].total == whole[1].total + n_long


fields = st.sampled_from(
    ["x", "", " ", '""', '"a""b"', '"p,q"', '"two\nlines"', 'in"side', '"a"b', "5", "-7", "1e3", "é"]
)
rows_of_fields = st.lists(st.lists(fields, min_size=2, max_size=4).map(",".join), max_size=12)


@settings(max_examples=300, deadline=None)
@given(rows_of_fields, st.sampled_from(["\n", "\r\n"]))
def test_the_fast_and_the_slow_way_agree(
    tmp_path_factory: pytest.TempPathFactory, some: list[str], ending: str
) -> None:
    """But for an empty text between quotes, which is nothing to the slow way."""
    path = tmp_path_factory.mktemp("ways") / "a.csv"
    path.write_bytes(ending.join(["user,text,time", *some, "u,last,1", ""]).encode())
    texts = Delimited(pl.Schema(dict.fromkeys(CSV.columns, pl.String())), CSV.columns, required=("user",))
    for line_format in (CSV, texts):
        rows, bad = read(path, line_format, skip=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines_module, "_try_all", lambda *_: None)
            slow_rows, slow_bad = read(path, line_format, skip=1)
        assert [tuple(value or None for value in row) for row in rows] == slow_rows
        assert bad == slow_bad


records = st.lists(
    st.sampled_from(["", "\r", "{n},x,1", '{n},"a\n\n""b""",2', '"{n}","\r\n",3\r', "{n},too few", ",no user,4"]),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(records, st.integers(20, 400), st.booleans())
def test_each_row_knows_its_line(
    tmp_path_factory: pytest.TempPathFactory, some: list[str], size: int, ends_open: bool
) -> None:
    """Through blank lines, quoted line breaks, faulty records and any size of blocks."""
    path = tmp_path_factory.mktemp("places") / "a.csv"
    expected, line, text = {}, 2, "user,text,time\n"
    for n, record in enumerate([*some, "{n},last,5"]):
        if record.startswith(("{n},x", '{n},"', '"{n}"', "{n},last")):
            expected[str(n)] = f"{path}:{line}"
        text += record.replace("{n}", str(n)) + "\n"
        line = text.count("\n") + 1
    path.write_bytes(text.removesuffix("\n" * ends_open).encode())
    bad = BadLines(100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", size)
        found = {}
        for table in read_lines(path, CSV, bad, of="events", skip=1):
            assert len(bad.examples.places) == table.height
            found |= dict(zip(table["user"], map(bad.examples.where, bad.examples.places), strict=True))
    assert found == expected


def test_rows_whose_lines_are_not_known_have_their_file(tmp_path: Path) -> None:
    """The parser passes over a line of spaces, which is no blank one to us."""
    path = write(tmp_path, '{"user": "a"}', "  ", '{"user": "b"}')
    bad = BadLines(0)
    (table,) = read_lines(path, JSON, bad, of="events")
    assert table["user"].to_list() == ["a", "b"]
    assert [bad.examples.where(place) for place in bad.examples.places] == [str(path)] * 2


def test_the_first_example_is_the_one_that_stands_first() -> None:
    examples = BadLines(0).examples
    assert examples.of("events") == {}
    examples.locate(Path("a.csv"), pl.Series([7, 8, None]))
    of_a = examples.places
    examples.locate(Path("b.csv"), pl.Series([2]))
    examples.add("events", "late", examples.places[0], "third")
    examples.add("events", "late", of_a[1], "second")
    examples.add("events", "late", of_a[0], "first")
    examples.add("items", "late", None, "nowhere")
    assert examples.where(of_a[2]) == "a.csv"
    assert examples.of("events") == {"late": "a.csv:7: first"}
    assert examples.of("items") == {"late": "nowhere"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04rest", "zip archive; extract it first"),
        (b"PAR1rest", "Parquet file"),
        (gzip.compress(b'{"user": "a"}\n' * 1000)[:-20], "damaged gzip"),
        (gzip.compress(b"x")[:12] + b"garbage", "damaged gzip"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing.jsonl: cannot be read \(No such file"):
        read(tmp_path / "nothing.jsonl")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert read(write(tmp_path, b'\xef\xbb\xbf{"user": "a"}'))[0][0][0] == "a"


def test_the_bytes_told_add_up(tmp_path: Path) -> None:
    path = write(tmp_path, *['{"user": "a"}'] * 1000)
    told: list[int] = []
    list(read_lines(path, JSON, BadLines(0), of="events", tell=told.append))
    assert sum(told) == path.stat().st_size
