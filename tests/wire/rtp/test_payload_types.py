"""Static payload types: one table for names, clock rates and kinds."""

from __future__ import annotations

import pytest

from agent.media.streams_cy import payload_rows
from agent.wire.rtp.payload_types import KIND_AUDIO, KIND_COMFORT, KIND_VIDEO, STATIC_ROWS, STATIC_TYPES


@pytest.mark.parametrize("number", [26, 31, 32, 33, 34])
def test_video_without_an_rtpmap_is_no_audio(number: int) -> None:
    assert STATIC_TYPES[number].kind == KIND_VIDEO
    assert payload_rows([])[0][number] == (90000, KIND_VIDEO)


@pytest.mark.parametrize("number", [13, 19])
def test_comfort_noise_old_and_new_is_no_audio(number: int) -> None:
    assert payload_rows([])[0][number] == (8000, KIND_COMFORT)


def test_the_loop_takes_its_rows_from_the_table() -> None:
    assert STATIC_ROWS[17] == (22050, KIND_AUDIO)
    assert {number: row[:1] for number, row in STATIC_ROWS.items()} == {
        number: (row.clock_rate,) for number, row in STATIC_TYPES.items()
    }
