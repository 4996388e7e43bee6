"""The folder's bounds: number, bytes, age; and a disk that refuses."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from agent.evidence.files import EvidenceFiles, EvidenceNote, FileBounds, path_of_note, read_notes


def note(number: int, kept_at: float = 0.0) -> EvidenceNote:
    return EvidenceNote(f"{number:010d}-a", [f"call-{number}"], "loss", False, 0, kept_at or time.time())


def keep(files: EvidenceFiles, number: int, size: int = 10, kept_at: float = 0.0) -> None:
    its = note(number, kept_at)
    files.begin(its, b"h" * size)
    files.end(its)


def names(folder: Path) -> list[str]:
    return [its.call_ids[0] for its in reversed(read_notes(folder))]


def test_beyond_the_number_the_oldest_goes(tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path, FileBounds(files=3))
    for number in range(5):
        keep(files, number)
    assert names(tmp_path) == ["call-2", "call-3", "call-4"]
    assert files.removed == 2
    assert len(list(files.folder.iterdir())) == 6


def test_beyond_the_bytes_the_oldest_goes_and_no_open_one(tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path, FileBounds(bytes=100))
    keep(files, 0, 60)
    files.begin(note(1), b"h" * 60)
    assert names(tmp_path) == ["call-1"]
    files.add(note(1).name, b"x" * 60)  # nothing closed is left to go
    assert path_of_note(tmp_path, note(1)).stat().st_size == 60
    assert files.failed == 1


def test_beyond_the_age_a_file_goes_when_the_next_begins(tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path, FileBounds(age_s=3_600))
    keep(files, 0)
    keep(files, 1, kept_at=time.time() + 3_700)
    assert names(tmp_path) == ["call-1"]


def test_a_new_process_counts_the_files_that_stand(tmp_path: Path) -> None:
    keep(EvidenceFiles(tmp_path, FileBounds()), 0)
    files = EvidenceFiles(tmp_path, FileBounds(files=1))
    keep(files, 1)
    assert names(tmp_path) == ["call-1"]


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path, FileBounds())
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    path_of_note(tmp_path, note(0)).symlink_to(victim)
    keep(files, 0)
    assert victim.read_bytes() == b""
    assert files.failed == 1


@pytest.mark.parametrize("text", [b"", b"[]", b'{"name": "../../etc/passwd"}', b"\xff"])
def test_a_note_that_is_none_is_left_out(tmp_path: Path, text: bytes) -> None:
    files = EvidenceFiles(tmp_path, FileBounds())
    (files.folder / "1-a.json").write_bytes(text)
    assert read_notes(tmp_path) == []
    assert os.listdir(files.folder) == ["1-a.json"]
