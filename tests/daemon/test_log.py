import io
import json
import os
import pty

import pytest

from agent.daemon.log import MAX_CAUSES, TEXT_LIMIT, Log, clean, form_of


class Time:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def journal(out: io.StringIO, form: str = "json", time: Time | None = None, **more: int) -> Log:
    return Log(out, form=form, monotonic=time or Time(), wall=lambda: 1_700_000_000.25, **more)  # type: ignore[arg-type]


def test_json_line_has_time_level_cause_text_and_fields(out: io.StringIO) -> None:
    journal(out).warning("sink", "throttled", retry_s=2)
    assert json.loads(out.getvalue()) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "cause": "sink",
        "text": "throttled",
        "retry_s": 2,
    }


@pytest.mark.parametrize(("level", "priority"), [("error", "<3>"), ("warning", "<4>"), ("info", "<6>")])
def test_journal_line_begins_with_its_priority(out: io.StringIO, level: str, priority: str) -> None:
    getattr(journal(out, "journal"), level)("cause", "text")
    assert out.getvalue().startswith(priority + "{")


def test_human_line_is_one_line_with_fields_behind(out: io.StringIO) -> None:
    journal(out, "human").info("start", "watching", interface="eth0")
    assert out.getvalue().endswith(" info     start: watching (interface=eth0)\n")


def test_form_terminal_journal_and_pipe_are_told_apart() -> None:
    leader, follower = pty.openpty()
    with open(follower, "w") as terminal:
        assert form_of(terminal, {}) == "human"
    os.close(leader)
    read, write = os.pipe()
    with open(write, "w") as pipe:
        status = os.fstat(write)
        assert form_of(pipe, {}) == "json"
        assert form_of(pipe, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}) == "journal"
        assert form_of(pipe, {"JOURNAL_STREAM": "1:1"}) == "json"
    os.close(read)
    assert form_of(io.StringIO(), {}) == "json"


def test_burst_then_silence_then_the_count_with_the_last_text(out: io.StringIO) -> None:
    time = Time()
    log = journal(out, time=time, burst=2)
    for n in range(10):
        log.warning("disk", f"full {n}")
    assert len(out.getvalue().splitlines()) == 2
    time.now += 61
    log.warning("disk", "full again")
    lines = [json.loads(line)["text"] for line in out.getvalue().splitlines()]
    assert lines == ["full 0", "full 1", "8 more of this, the last: full 9", "full again"]
    assert log.withheld == 8


def test_flush_tells_what_was_withheld_once(out: io.StringIO) -> None:
    log = journal(out, burst=1)
    log.info("a", "x")
    log.info("a", "y")
    log.flush()
    log.flush()
    assert [json.loads(line)["text"] for line in out.getvalue().splitlines()] == [
        "x",
        "1 more of this, the last: y",
    ]


def test_one_cause_at_its_limit_holds_back_no_other(out: io.StringIO) -> None:
    log = journal(out, burst=1)
    log.info("a", "x")
    log.info("a", "x")
    log.error("b", "y")
    assert [json.loads(line)["cause"] for line in out.getvalue().splitlines()] == ["a", "b"]


def test_causes_made_up_without_end_share_one_window(out: io.StringIO) -> None:
    log = journal(out, burst=1)
    for n in range(MAX_CAUSES * 2):
        log.info(f"cause {n}", "x")
    assert len(out.getvalue().splitlines()) == MAX_CAUSES + 1


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "X-Amz-Security-Token: FwoGZXIvYXdzEXAMPLE",
        '"password": "hunter2hunter2"',
    ],
)
def test_secrets_are_removed(out: io.StringIO, secret: str) -> None:
    journal(out).error("aws", f"request failed: {secret} at the end", detail=secret)
    assert secret.split()[-1].split("=")[-1].strip('"') not in out.getvalue()
    assert "at the end" in out.getvalue()


@pytest.mark.parametrize(
    "name", ["clickhouse.password_file", "web.token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"]
)
def test_path_of_a_secret_is_none(name: str) -> None:
    text = f"{name}: /etc/x: Permission denied"
    assert clean(text) == text


def test_texts_are_a_line_each_and_count_as_one(out: io.StringIO) -> None:
    log = journal(out, burst=1)
    log.error("reload", *map(str, range(20)))
    log.error("reload", "again")
    assert [json.loads(line)["text"] for line in out.getvalue().splitlines()] == [str(n) for n in range(20)]


def test_authorization_header_is_removed_to_its_end() -> None:
    text = clean(
        'refused: Authorization: Digest username="bob", response="6629fae4\n9393a05397450978507c4ef1"'
    )
    assert text == "refused: [removed]"


@pytest.mark.parametrize("form", ["human", "json", "journal"])
def test_newlines_and_escapes_from_outside_make_no_second_line(out: io.StringIO, form: str) -> None:
    journal(out, form).error("x", "a\r\n<0>forged\x1b[2J\u2028b", field="c\nd")
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == 1


def test_bytes_are_told_by_length_only() -> None:
    assert clean(b"INVITE sip:bob@example.com") == "[26 bytes]"


def test_long_text_is_cut() -> None:
    assert len(clean("x" * 10_000)) == TEXT_LIMIT


def test_closed_stream_stops_nobody(out: io.StringIO) -> None:
    log = journal(out)
    out.close()
    log.error("a", "x")
