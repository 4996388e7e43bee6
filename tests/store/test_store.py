from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from agent.errors import ConfigError, StateError
from agent.model.units import MINUTE_NS
from agent.store import Gap, Store
from agent.summary.records import Summary
from tests.kit.minutes import SAMPLES, SECOND_NS, T0, connector, sip_row, summary


def test_committed_minute_is_read_back_whole_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    minute = summary(media=2, sip=3, calls=1, connectors=[connector(CustomerToVcJitter=SAMPLES)])
    minute.extras = {"legs_unjoined": 3}
    store = Store(path)
    assert store.commit(minute, b"checkpoint")
    other = Store(path, read_only=True)
    assert list(other.minutes(T0, T0 + 1, ("metrics", "media", "calls", "sip"))) == [minute]
    assert other.load_checkpoint() == b"checkpoint"
    assert other.closed_until_ns == T0 + MINUTE_NS


def test_part_committed_twice_is_kept_once_and_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    assert store.commit(summary(media=1), b"one")
    assert not store.commit(summary(media=9), b"two")
    assert [len(minute.media) for minute in store.minutes(0, 2 * T0)] == [1]
    assert store.load_checkpoint() == b"one"


def test_label_met_again_gets_further_parts(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    assert store.next_part(T0) == 0
    store.commit(summary(part=0, complete=False))
    assert store.closed_until_ns == T0  # the minute itself is still open
    assert store.next_part(T0) == 1
    store.commit(summary(part=1))
    assert store.next_part(T0) == 2
    assert [minute.part for minute in store.minutes(T0, T0 + 1)] == [0, 1]
    assert store.closed_until_ns == T0 + MINUTE_NS


def test_closed_mark_never_goes_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.commit(summary(5))
    store.commit(summary(2))
    assert store.closed_until_ns == T0 + 6 * MINUTE_NS


def test_sip_rows_commit_with_their_checkpoint_and_stand_in_their_minute(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    rows = [sip_row(T0, 59_999), sip_row(T0 + MINUTE_NS, 0), sip_row(T0 + MINUTE_NS, 1, "vc2")]
    store.save_checkpoint(b"a", rows[:2], now_ns=T0)
    store.save_checkpoint(b"b", rows[2:], now_ns=T0)
    store.commit(summary(0))
    store.commit(summary(1))
    minutes = list(store.minutes(T0, T0 + 9 * MINUTE_NS, ("sip",)))
    assert [minute.sip for minute in minutes] == [rows[:1], rows[1:]]
    assert store.load_checkpoint() == b"b"


def test_gap_summary_leaves_a_gap_record_and_no_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.commit(Summary(T0, 0, False, [], [], [], [], gap="not running"))
    [gap] = store.gaps(T0, T0 + MINUTE_NS)
    assert (gap.kind, gap.why, gap.first_ns, gap.last_ns) == ("capture", "not running", T0, T0 + MINUTE_NS)
    assert [minute.gap for minute in store.minutes(T0, T0 + 1)] == ["not running"]


def test_like_gaps_in_a_row_become_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    for minute in range(3):
        start = T0 + minute * MINUTE_NS
        store.add_gap(Gap(start, "sip", start, start + MINUTE_NS, 10, "rate cap"))
    [gap] = store.gaps(0, 2 * T0)
    assert (gap.first_ns, gap.last_ns, gap.records) == (T0, T0 + 3 * MINUTE_NS, 30)


def test_lone_surrogates_in_a_message_are_written_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    row = sip_row(T0, 1) | {"sip_message": "caf\udce9"}
    store.save_checkpoint(None, [row], now_ns=T0)
    store.commit(summary())
    [minute] = store.minutes(T0, T0 + 1, ("sip",))
    assert minute.sip[0]["sip_message"] == "caf\\udce9"


def test_corrupt_file_is_moved_aside_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this was never a database" * 1000)
    store = Store(path)
    [aside] = tmp_path.glob("s.sqlite.corrupt-*")
    assert aside.read_bytes().startswith(b"this was never")
    [notice] = store.take_notices()
    assert str(aside) in notice
    assert store.take_notices() == []
    assert store.commit(summary())
    assert store.counters()["corrupt_files"] == 1


def test_file_damaged_while_in_use_is_moved_aside_and_the_minute_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(path)
    for minute in range(50):
        store.commit(summary(minute, media=20))
    store.close()
    store = Store(path)
    store.outbox.register({"cloudwatch": ("metrics",)})
    body = bytearray(path.read_bytes())
    body[4096:] = b"\xa5" * (len(body) - 4096)  # page 1, the schema, stays: the damage shows later
    path.write_bytes(body)
    assert store.commit(summary(99, media=1))
    assert [minute.start_ns for minute in store.minutes(0, 2 * T0)] == [T0 + 99 * MINUTE_NS]
    assert len(list(tmp_path.glob("s.sqlite.corrupt-*[0-9]"))) == 1
    assert len(store.outbox.due("cloudwatch", before_ns=2 * T0)) == 1  # the fresh file knows its sinks


def test_file_of_a_newer_version_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    sqlite3.connect(path).execute("PRAGMA user_version=99")
    store = Store(path)
    assert "newer version" in store.take_notices()[0]


def test_second_process_on_the_same_file_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    with pytest.raises(ConfigError, match="in use"):
        Store(tmp_path / "s.sqlite")
    store.close()
    Store(tmp_path / "s.sqlite").close()


def test_reading_a_store_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sbcwatch run"):
        Store(tmp_path / "none.sqlite", read_only=True)


def test_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="directory to a folder"):
        Store(tmp_path / "file" / "s.sqlite")


def test_threads_commit_and_read_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.outbox.register({"one": ("metrics",), "two": ("media",)})
    errors: list[BaseException] = []

    def drain(sink: str) -> None:
        try:
            taken = 0
            while taken < 60:
                rows = store.outbox.due(sink, before_ns=2 * T0)
                store.outbox.plan(sink, rows, [])
                taken += len(rows)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=drain, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for minute in range(60):
        store.commit(summary(minute, media=1), b"x" * 1000)
    for thread in threads:
        thread.join(60)
    assert not errors
    assert store.outbox.depth("one") == (0, None)


def test_close_leaves_one_file_and_no_log_beside_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.commit(summary(), now_ns=T0 + 70 * SECOND_NS)
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "s.sqlite",
        "s.sqlite.closed",
        "s.sqlite.lock",
    ]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = Store(tmp_path / "state" / "s.sqlite")
        store.commit(summary())
        found = modes(tmp_path / "state")
        store.close()
    finally:
        os.umask(before)
    assert {"s.sqlite", "s.sqlite-wal", "s.sqlite-shm", "s.sqlite.lock", "s.sqlite.closed"} <= set(found)
    assert found.pop("state") == 0o700
    assert set(found.values()) == {0o600}


def test_files_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    Store(tmp_path / "s.sqlite").close()
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    Store(tmp_path / "s.sqlite").close()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["s.sqlite", "s.sqlite-wal", "s.sqlite-shm", "s.sqlite.lock"])
def test_symbolic_link_in_the_state_directory_is_not_followed(tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    target.chmod(0o644)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / name).symlink_to(target)
    with pytest.raises(ConfigError, match="symbolic link"):
        Store(tmp_path / "state" / "s.sqlite")
    assert target.read_bytes() == b""
    assert target.stat().st_mode & 0o777 == 0o644


def test_link_in_place_of_the_note_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / "s.sqlite.closed").symlink_to(target)
    Store(tmp_path / "s.sqlite").close()
    assert target.read_bytes() == b""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_full_or_read_only_disk_at_the_start_passes_and_is_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(number, os.strerror(number), str(tmp_path / "s.sqlite"))

    monkeypatch.setattr("agent.store.private.os.open", full)
    with pytest.raises(StateError, match="free the disk") as raised:
        Store(tmp_path / "s.sqlite")
    assert raised.value.exit_status == 3


@pytest.mark.parametrize("what", ["folder", "file"])
def test_store_that_is_removed_under_way_is_told_and_made_anew(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "state"
    store = Store(folder / "s.sqlite")
    store.outbox.register({"one": ("metrics",)})
    store.commit(summary())
    if what == "folder":
        shutil.rmtree(folder)
    else:
        (folder / "s.sqlite").unlink()
    store.commit(summary(1), checkpoint=b"kept")
    assert any("was removed" in notice for notice in store.take_notices())
    assert not store.counters()["degraded"]
    store.close()
    again = Store(folder / "s.sqlite")
    assert [minute.start_ns for minute in again.minutes(T0, T0 + 10 * MINUTE_NS)] == [T0, T0 + MINUTE_NS]
    assert again.load_checkpoint() == b"kept"
    again.close()
