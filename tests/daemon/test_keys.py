"""The host's key: whole or not there, for its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.daemon.keys import KEY_BYTES, key, shared_key
from agent.errors import ConfigError, StateError


def test_key_is_made_once_and_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = key(tmp_path / "state")
    finally:
        os.umask(before)
    assert len(made) == KEY_BYTES
    assert key(tmp_path / "state") == made
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["endpoint.key"]
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "endpoint.key").stat().st_mode & 0o777 == 0o600


def test_folder_and_key_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    made = key(folder)
    folder.chmod(0o755)
    (folder / "endpoint.key").chmod(0o644)
    assert key(folder) == made
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "endpoint.key").stat().st_mode & 0o777 == 0o600


def test_shared_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    key(tmp_path)
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize("size", [0, 1, KEY_BYTES - 1])
def test_short_key_is_refused_in_one_line(tmp_path: Path, size: int) -> None:
    (tmp_path / "endpoint.key").write_bytes(b"x" * size)
    with pytest.raises(ConfigError, match="delete it") as raised:
        key(tmp_path)
    assert "\n" not in str(raised.value)


def test_disk_that_is_full_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("agent.store.private.os.fsync", full)
        with pytest.raises(StateError, match="No space left"):
            key(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(key(tmp_path)) == KEY_BYTES


@pytest.mark.parametrize("name", ["endpoint.key", "endpoint.key.new"])
def test_symbolic_link_is_not_followed(tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"x" * KEY_BYTES)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / name).symlink_to(target)
    with pytest.raises(ConfigError, match="symbolic link"):
        key(tmp_path / "state")
    assert target.read_bytes() == b"x" * KEY_BYTES


@pytest.mark.parametrize("around", [b"", b"\n", b"\r\n", b" \n"])
def test_shared_key_is_the_same_whoever_wrote_its_line_end(tmp_path: Path, around: bytes) -> None:
    (tmp_path / "key").write_bytes(b"k" * KEY_BYTES + around)
    assert shared_key(tmp_path / "key") == b"k" * KEY_BYTES


@pytest.mark.parametrize("content", [None, b"", b"short\n" + b"\n" * KEY_BYTES])
def test_shared_key_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        shared_key(tmp_path / "key")
    assert "\n" not in str(raised.value)
