"""Every seed passes its harness: a crash once found stays found, fuzzer or not."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="the harnesses need atheris")

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", ["sip", "sdp", "rtcp"])
def test_seeds_pass_their_harness(name):
    check = importlib.import_module(f"tests.fuzz.{name}").check
    seeds = sorted((CORPUS / name).iterdir())
    assert seeds
    for seed in seeds:
        check(seed.read_bytes())


@pytest.mark.parametrize("name", ["sip", "sdp", "rtcp"])
def test_seeds_cut_anywhere_pass_their_harness(name):
    check = importlib.import_module(f"tests.fuzz.{name}").check
    for seed in sorted((CORPUS / name).iterdir()):
        data = seed.read_bytes()
        for end in range(0, len(data), 7):
            check(data[:end])
