"""A refresh writes for whoever has a new history and for nobody else; a person's sentences outlive every one."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.data.histories import split_examples
from bluerec.data.profiles import LATEST
from bluerec.errors import DataError, ModelError, StoreError, UnavailableError
from bluerec.store.building import build_store
from bluerec.store.records import StoredVersion
from bluerec.store.refreshing import refresh_store
from bluerec.store.sentences import join_sentences, merge_offer, split_sentences
from bluerec.store.store import Store
from bluerec.store.transactions import merge_written
from bluerec.types import FIRST_SECOND, LAST_SECOND, Event
from store.stores import CONFIG, EMBEDDER, make_profiles, make_store, make_world

Asked = Sequence[tuple[str, Sequence[Event]]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(make_store(tmp_path / "store", n_users=8), embedder=EMBEDDER) as opened:
        yield opened


class Writer:
    """Says how many events it saw, and remembers whom it wrote for."""

    def __init__(self) -> None:
        self.users: list[str] = []

    def __call__(self, asked: Asked) -> list[tuple[str, str]]:
        self.users += [user for user, _ in asked]
        return [(f"Took {len(events)} things. Likes {events[-1].item.title}.", "counter") for _, events in asked]


def new_events(*users: str, timestamp: int = 2**33) -> pl.DataFrame:
    return pl.DataFrame({"user_id": users, "item_id": ["i0005"] * len(users), "timestamp": [timestamp] * len(users)})


def read_all(store: Store) -> list[object]:
    return [store.export_user(user) for user in store.user_ids("", 1000)]


def test_only_users_with_a_new_history_are_written(store: Store) -> None:
    writer = Writer()
    done = refresh_store(store, writer, new_events("u0001", "u0004", "newcomer"))
    assert writer.users == ["newcomer", "u0001", "u0004"]
    assert (done.n_events_added, done.n_rewritten, done.n_offered) == (3, 3, 0)
    assert [store.profile(user).writer for user in ("u0001", "u0000")] == ["counter", "oracle"]


def test_a_second_refresh_changes_nothing(store: Store) -> None:
    events = new_events("u0001", "u0004")
    refresh_store(store, Writer(), events)
    before, writer = read_all(store), Writer()
    done = refresh_store(store, writer, events)
    assert (done.n_events_added, done.n_events_known, done.n_rewritten, writer.users) == (0, 2, 0, [])
    assert refresh_store(store, writer).n_rewritten == 0
    assert read_all(store) == before


def test_a_killed_refresh_goes_on(store: Store) -> None:
    class Killed(Writer):
        def __call__(self, asked: Asked) -> list[tuple[str, str]]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh_store(store, Killed(), new_events("u0001"))
    writer = Writer()
    refresh_store(store, writer, new_events("u0001"))
    assert writer.users == ["u0001"]


def test_unknown_items_are_counted_and_missing_columns_refused(store: Store) -> None:
    unknown = pl.DataFrame({"user_id": ["u0001"], "item_id": ["nowhere"], "timestamp": [1]})
    done = refresh_store(store, Writer(), unknown)
    assert (done.n_unknown_items, done.n_rewritten) == (1, 0)
    with pytest.raises(DataError, match="timestamp"):
        refresh_store(store, Writer(), unknown.drop("timestamp"))


def test_an_edit_is_not_rewritten_until_the_history_changes_and_then_kept(store: Store) -> None:
    first = store.profile("u0001").sentences
    store.save_edit("u0001", f"{first[0]} Only chess from now on!")
    writer = Writer()
    assert refresh_store(store, writer).n_rewritten == 0
    done = refresh_store(store, writer, new_events("u0001"))
    after = store.profile("u0001")
    assert done.n_offered == 1
    assert after.locked == ("Only chess from now on!",)
    assert after.sentences[-1] == "Only chess from now on!"
    assert first[0] not in after.sentences
    assert after.offered.startswith("Took ")


def test_a_profile_that_a_person_wrote_alone_is_left_alone(store: Store) -> None:
    mine = store.save_edit("u0001", "Only chess. Nothing like racing.")
    refresh_store(store, Writer(), new_events("u0001"))
    after = store.profile("u0001")
    assert (after.version, after.text, after.locked) == (mine.version, mine.text, mine.locked)
    assert after.offered.startswith("Took ")
    assert refresh_store(store, Writer()).n_rewritten == 0


def test_a_text_for_a_user_deleted_meanwhile_is_refused(store: Store) -> None:
    job = store.enqueue("u0001")
    store.next_job()
    store.delete_user("u0001")
    with pytest.raises(StoreError, match="no longer"):
        store.save_written("u0001", "Likes chess.", "model", job.job_id)
    store.save_edit("u0001", "I am new here.")  # the same id again: still not the old user's text
    with pytest.raises(StoreError, match="no longer"):
        store.save_written("u0001", "Likes chess.", "model", job.job_id)
    assert store.profile("u0001").text == "I am new here."


def test_a_job_that_saw_an_older_history_leaves_the_user_to_a_refresh(store: Store) -> None:
    store.add_interactions("u0001", [{"item_id": "i0005", "timestamp": 2**33}])
    job = store.enqueue("u0001")
    store.next_job()
    store.add_interactions("u0001", [{"item_id": "i0006", "timestamp": 2**33}])
    store.save_written("u0001", "Likes chess.", "model", job.job_id)
    assert list(store.stale_users()) == ["u0001"]


class Slow(Writer):
    """Something happens to the store while it writes."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    def __call__(self, asked: Asked) -> list[tuple[str, str]]:
        written = super().__call__(asked)
        self.meanwhile()
        return written


def test_an_event_that_comes_while_a_batch_is_written_is_not_taken_for_seen(store: Store) -> None:
    late = {"item_id": "i0006", "timestamp": 2**33}
    n_events = len(store.history("u0001"))
    refresh_store(store, Slow(lambda: store.add_interactions("u0001", [late])), new_events("u0001", "u0002"))
    assert store.profile("u0001").text.startswith(f"Took {n_events + 1} things.")
    assert list(store.stale_users()) == ["u0001"]
    refresh_store(store, Writer())
    assert store.profile("u0001").text.startswith(f"Took {n_events + 2} things.")
    assert list(store.stale_users()) == []


def test_an_event_that_comes_while_a_job_is_written_is_not_taken_for_seen(store: Store) -> None:
    """As the worker of the service does it: take the job, read the history, write, save."""
    store.add_interactions("u0001", [{"item_id": "i0005", "timestamp": 2**33}])
    store.enqueue("u0001")
    job = store.next_job()
    events = store.history(job.user_id)
    store.add_interactions("u0001", [{"item_id": "i0006", "timestamp": 2**33}])
    waiting = store.enqueue("u0001")
    store.save_written("u0001", f"Took {len(events)} things.", "model", job.job_id)
    store.finish_job(job.job_id)
    assert list(store.stale_users()) == ["u0001"]
    assert store.next_job().job_id == waiting.job_id


def test_a_refresh_does_not_undo_what_the_service_wrote_from_a_newer_history(store: Store) -> None:
    def serve() -> None:
        """As the service does it: accept an event, write for it, close the job."""
        store.add_interactions("u0001", [{"item_id": "i0006", "timestamp": 2**33}])
        store.enqueue("u0001")
        job = store.next_job()
        store.save_written("u0001", "Newer.", "service", job.job_id)
        store.finish_job(job.job_id)

    done = refresh_store(store, Slow(serve), new_events("u0001", "u0002"))
    assert (done.n_rewritten, done.n_newer, done.n_gone, done.failed) == (1, 1, 0, {})
    assert store.profile("u0001").text == "Newer."
    assert (list(store.stale_users()), store.n_open_jobs()) == ([], 0)


def test_a_job_does_not_undo_what_a_refresh_wrote_from_a_newer_history(store: Store) -> None:
    store.add_interactions("u0001", [{"item_id": "i0005", "timestamp": 2**33}])
    store.enqueue("u0001")
    job = store.next_job()
    store.add_interactions("u0001", [{"item_id": "i0006", "timestamp": 2**33}])  # without a job, as a refresh adds it
    newer = store.save_written("u0001", "Newer.", "refresh", known=store.load_history("u0001"))
    assert store.save_written("u0001", "Older.", "service", job.job_id) == newer
    assert store.profile("u0001") == newer
    assert list(store.stale_users()) == []


def test_who_is_deleted_while_a_batch_is_written_stays_so_and_stops_nobody(store: Store) -> None:
    def replace_user() -> None:
        store.delete_user("u0001")
        store.save_edit("u0001", "I am new here.")  # the same id again: not the user whose history was read

    done = refresh_store(store, Slow(replace_user), new_events("u0001", "u0002"))
    assert (done.n_gone, done.n_rewritten, done.failed) == (1, 1, {})
    assert [version.text for version in store.versions("u0001")] == ["I am new here."]
    assert store.profile("u0002").writer == "counter"


def test_a_refresh_closes_the_jobs_that_it_answers(store: Store) -> None:
    """The queue of a service that leaves the writing to `refresh` does not fill up."""
    for user in ("u0001", "u0002"):
        store.add_interactions(user, [{"item_id": "i0005", "timestamp": 2**33}])
        store.enqueue(user)
    store.enqueue("u0003")  # an event that was known already: asked for, but there is nothing to write
    store.next_job()  # left running by a process that died
    assert refresh_store(store, Writer()).n_rewritten == 2
    assert store.n_open_jobs() == 0
    assert {job.state for job in store.jobs()} == {"done"}


def test_the_late_text_of_a_job_that_a_refresh_has_answered_is_refused(store: Store) -> None:
    store.add_interactions("u0001", [{"item_id": "i0005", "timestamp": 2**33}])
    store.enqueue("u0001")
    job = store.next_job()
    refresh_store(store, Writer(), new_events("u0001", timestamp=2**33 + 1))
    with pytest.raises(StoreError, match="no longer"):
        store.save_written("u0001", "Likes chess.", "model", job.job_id)
    store.finish_job(job.job_id, "GoneError")
    assert [one.state for one in store.jobs("u0001")] == ["done"]
    assert store.profile("u0001").writer == "counter"


class Picky(Writer):
    """Refuses some users, whoever else was asked for with them; writes nothing for others."""

    def __init__(self, refused: Sequence[str] = (), empty: Sequence[str] = (), error: Exception | None = None) -> None:
        super().__init__()
        self.refused, self.empty = refused, empty
        self.error = error or ModelError("status 400")

    def __call__(self, asked: Asked) -> list[tuple[str, str]]:
        if any(user in self.refused for user, _ in asked):
            raise self.error
        written = super().__call__(asked)
        return [
            ("\u200b" if user in self.empty else text, writer)
            for (user, _), (text, writer) in zip(asked, written, strict=True)
        ]


def test_a_user_who_cannot_be_written_for_is_named_and_holds_up_nobody(store: Store) -> None:
    users = [f"u{n:04d}" for n in range(5)]
    store.enqueue("u0001")
    done = refresh_store(store, Picky(refused=["u0001"], empty=["u0003"]), new_events(*users))
    assert done.n_rewritten == 3
    assert done.failed == {"u0001": "status 400", "u0003": "a profile needs a text; write at least a word"}
    assert [store.profile(user).writer for user in users] == ["counter", "oracle", "counter", "oracle", "counter"]
    assert [(job.state, job.error) for job in store.jobs("u0001")] == [("failed", "ModelError")]
    assert store.n_open_jobs() == 0
    store.add_interactions("u0007", [{"item_id": "i0005", "timestamp": 2**33}])
    assert list(store.stale_users()) == ["u0007", "u0001", "u0003"], "whoever failed comes last"
    assert refresh_store(store, Writer()).failed == {}
    assert {job.state for job in store.jobs()} == {"done"}


def test_what_fails_for_everybody_stops_the_refresh(store: Store) -> None:
    users = [f"u{n:04d}" for n in range(8)]
    writer = Picky(refused=users)
    with pytest.raises(ModelError, match=r"none of the first 5 .* status 400"):
        refresh_store(store, writer, new_events(*users))
    assert list(store.stale_users()) == [*users[5:], *users[:5]]
    absent = Picky(refused=["u0006"], error=UnavailableError("no answer"))
    with pytest.raises(UnavailableError, match="no answer"):
        refresh_store(store, absent)
    assert (absent.users, len(store.stale_users())) == ([], 8)


def test_however_many_failed_before_each_has_their_turn_and_is_named(store: Store) -> None:
    users = [f"u{n:04d}" for n in range(8)]
    writer = Picky(refused=users[:7])
    with pytest.raises(ModelError, match="none of the first 5"):
        refresh_store(store, writer, new_events(*users))
    done = refresh_store(store, writer)
    assert (sorted(done.failed), done.n_rewritten, writer.users) == (users[:7], 1, ["u0007"])
    done = refresh_store(store, writer)
    assert (sorted(done.failed), done.n_rewritten) == (users[:7], 0)
    cured = Picky(refused=users[:6])
    done = refresh_store(store, cured)
    assert (sorted(done.failed), cured.users) == (users[:6], ["u0006"])


def test_who_failed_before_does_not_count_for_the_stop(store: Store) -> None:
    """Four fail for the first time, then three again: no sign yet of a wrong model. Five for the first time are."""
    users = [f"u{n:04d}" for n in range(8)]
    for user in users[:3]:
        store.add_interactions(user, [{"item_id": "i0005", "timestamp": 2**33}])
        store.note_failure(user, "ModelError")
    done = refresh_store(store, Picky(refused=users), new_events(*users[3:7]))
    assert sorted(done.failed) == users[:7]
    refresh_store(store, Writer())
    for user in users[:3]:
        store.add_interactions(user, [{"item_id": "i0006", "timestamp": 2**33}])
        store.note_failure(user, "ModelError")
    with pytest.raises(ModelError, match="none of the first 5"):
        refresh_store(store, Picky(refused=users), new_events(*users[3:], timestamp=2**33 + 1))


def damage(store: Store, table: str, user: str) -> None:
    """A row of a user whose checksum is another."""
    with store.writing() as writer:
        damaged = f"UPDATE {table} SET checksum = checksum + 1 WHERE user_row = (SELECT user_row FROM users "
        writer.execute(f"{damaged} WHERE user_id = ?)", (user,))


@pytest.mark.parametrize("table", ["interactions", "versions"])
def test_however_many_are_damaged_the_others_are_written_for(store: Store, table: str) -> None:
    users = [f"u{n:04d}" for n in range(7)]
    for user in users[:6]:
        damage(store, table, user)
    writer = Writer()
    for _ in range(2):
        done = refresh_store(store, writer, new_events(*users))
        assert sorted(done.failed) == users[:6]
        assert re.search(f"damaged .{table}: .* checksum.*bluerec index", done.failed["u0000"])
        assert [(job.state, job.error) for job in store.jobs("u0000")] == [("failed", "DamagedError")]
    assert store.profile("u0006").writer == "counter"
    assert list(store.stale_users()) == users[:6]


def test_damaged_users_do_not_hide_a_wrong_writer(store: Store) -> None:
    users = [f"u{n:04d}" for n in range(8)]
    for user in users[:3]:
        damage(store, "interactions", user)
    with pytest.raises(ModelError, match="none of the first 5"):
        refresh_store(store, Picky(refused=users), new_events(*users))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timestamp", ["2020-01-01", "7"]),
        ("timestamp", [date(2020, 1, 1), date(2020, 1, 2)]),
        ("timestamp", [7.0, float("nan")]),
        ("timestamp", [[7], [8]]),
        ("rating", ["five", "5"]),
        ("user_id", [["u0001"], []]),
    ],
)
def test_a_column_of_another_kind_is_named(store: Store, name: str, values: list[object]) -> None:
    table = new_events("u0001", "u0002").with_columns(pl.Series(name, values))
    with pytest.raises(DataError, match=rf"^new interactions: column {name} .*; run: bluerec prepare$"):
        refresh_store(store, Writer(), table)
    assert list(store.stale_users()) == []


def test_numbers_may_come_as_texts(store: Store) -> None:
    table = new_events("u0001").with_columns(pl.col("timestamp").cast(pl.String), rating=pl.lit("4.5"))
    assert refresh_store(store, Writer(), table).n_events_added == 1
    assert store.history("u0001")[-1].interaction.rating == 4.5


def test_times_that_are_not_in_seconds_are_refused_before_anything_is_added(store: Store) -> None:
    before = read_all(store)
    for wrong in (1_700_000_000_000, FIRST_SECOND - 1):
        table = pl.concat([new_events("u0001"), new_events("u0002", timestamp=wrong)])
        with pytest.raises(DataError, match=r"1 timestamps .* seconds"):
            refresh_store(store, Writer(), table)
    with pytest.raises(DataError, match="seconds"):
        store.add_interactions("u0001", [{"item_id": "i0005", "timestamp": LAST_SECOND + 1}])
    assert read_all(store) == before
    assert refresh_store(store, Writer(), new_events("u0001", timestamp=LAST_SECOND)).n_events_added == 1


def test_the_first_and_the_last_second_are_the_ends_of_the_calendar() -> None:
    assert datetime(1, 1, 1, tzinfo=UTC).timestamp() == FIRST_SECOND
    assert datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() == LAST_SECOND


def made_of(sentences: Sequence[str], locked: Sequence[str]) -> StoredVersion:
    return StoredVersion(3, " ".join(sentences), tuple(sentences), tuple(locked), "person", 1.7e9, True, "seen")


def test_what_becomes_of_a_written_text() -> None:
    first = merge_written(None, "Likes chess. Likes golf.", "model")
    assert (first.version, first.text, first.writer, first.locked, first.offered) == (
        1, "Likes chess. Likes golf.", "model", (), None,
    )  # fmt: skip
    mixed = made_of(["Only golf.", "Likes chess."], locked=["Only golf."])
    after = merge_written(mixed, "Likes racing.", "model")
    assert (after.version, after.sentences, after.locked) == (4, ("Only golf.", "Likes racing."), ("Only golf.",))
    assert (after.edited, after.offered, after.writer) == (False, "Likes racing.", "model")
    mine = made_of(["Only golf."], locked=["Only golf."])
    assert merge_written(mine, "Likes racing.", "model") == replace(mine, offered="Likes racing.")


WORDS = ["chess", "golf", "racing", "Dr.", "vs.", "farming", "no.1", "?"]
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5)
sentences_of = st.lists(words.map(lambda some: " ".join(some) + "."), min_size=0, max_size=6)


@given(current=sentences_of, offered=sentences_of, data=st.data())
@settings(max_examples=2000, deadline=None)
def test_no_offer_removes_changes_or_reorders_a_locked_sentence(current, offered, data) -> None:
    current = split_sentences(" ".join(current))
    locked = [sentence for sentence in current if data.draw(st.booleans())]
    merged = merge_offer(current, locked, split_sentences(" ".join(offered)))
    kept = current if merged is None else merged
    mine = set(locked)
    assert [sentence for sentence in kept if sentence in mine] == [sentence for sentence in current if sentence in mine]
    assert split_sentences(join_sentences(kept)) == kept


def test_a_profile_that_saw_a_part_of_the_history_is_written_anew(tmp_path: Path) -> None:
    world = make_world()
    users = sorted(world.tastes)[:3]
    table = split_examples(world.dataset).select("all")
    cutoff_of = dict(zip(table.user_ids, table.cutoffs.tolist(), strict=True))
    profiles = make_profiles(world, users).with_columns(
        cutoff=pl.Series([cutoff_of[users[0]], LATEST, LATEST - 1])  # the first lacks the last event
    )
    folder = build_store(tmp_path / "store", world.dataset, EMBEDDER, CONFIG, users=users, profiles=profiles)
    with Store.open(folder, embedder=EMBEDDER) as store:
        assert len(store.history(users[0])) == int(np.diff(world.dataset.user_offsets)[0])
        assert list(store.stale_users()) == [users[0]]
