from __future__ import annotations

import pytest

from agent import cli, uncompiled


def test_compiled_required_and_absent_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SBCWATCH_REQUIRE_COMPILED", "1")
    monkeypatch.setattr(uncompiled, "status", lambda: {"agent.media.rtp.loop_cy": False})
    assert cli.main(["selftest"]) == 2
    assert "agent.media.rtp.loop_cy: not compiled: install a C compiler" in capsys.readouterr().err


def test_compiled_required_and_there_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBCWATCH_REQUIRE_COMPILED", "1")
    monkeypatch.setattr(uncompiled, "status", lambda: {"agent.media.rtp.loop_cy": True})
    assert cli.main(["selftest"]) == 0


def test_unknown_command_is_bad_usage() -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["nonsense"])
    assert end.value.code == 2
