"""Some captures of the whole path's fuzzer, always the same; what it found has tests of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import path as whole_path


@pytest.mark.parametrize("seed", range(100_000, 100_040))
def test_capture_goes_through_the_whole_path(seed: int, tmp_path: Path) -> None:
    whole_path.one(seed, tmp_path)
