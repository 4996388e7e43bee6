"""Each live capture runs in a process and a network namespace of its own; see `tests.kit.live_capture`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from agent.capture.live.ring_cy import COMPILED

LIVE = [
    "counted_frames_are_all_seen",
    "interfaces_are_told_apart_in_one_order",
    "a_stripped_vlan_tag_is_in_the_interface_number",
    "the_filter_keeps_sip_whole_and_cuts_rtp",
    "the_filter_and_the_decoder_open_the_same_tunnels",
    "a_ring_too_small_reports_what_it_lost",
    "an_interface_that_goes_and_returns_is_a_loss",
    "any_misses_an_interface_that_had_frames_and_is_down",
    "loopback_frames_are_seen_both_ways",
    "a_frame_from_an_own_address_is_refused",
    "a_tun_interface_gives_raw_ip",
    "faults_are_told_with_the_fix",
    "a_user_expression_is_compiled",
    "a_flood_is_read_without_drops",
    "shares_take_each_frame_once_and_both_ways_of_a_flow",
    "shares_get_the_fragments_of_a_datagram_together",
]


def in_namespace(name: str, *before: str, uncompiled: bool = False) -> None:
    if os.geteuid():
        pytest.skip("capturing live needs root")
    if not shutil.which("ip") or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here")
    done = subprocess.run(
        ["unshare", "-n", *before, sys.executable, "-m", "tests.kit.live_capture", name],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"SBCWATCH_NO_COMPILED": "1" if uncompiled else "0"},
    )
    assert not done.returncode, done.stdout + done.stderr
    if done.stdout.startswith("skipped:"):
        pytest.skip(done.stdout.strip())


RING = [
    "a_quiet_minute_is_ridden_out",
    "a_frame_is_there_within_two_time_outs",
    "a_frame_longer_than_a_block_says_how_long_it_was",
]


@pytest.mark.skipif(not COMPILED, reason="the ring needs compiled code")
@pytest.mark.parametrize("name", RING)
def test_blocks_of_the_ring(name: str) -> None:
    in_namespace(name)


@pytest.mark.skipif(not COMPILED, reason="the ring needs compiled code")
@pytest.mark.parametrize("name", LIVE)
def test_live_by_the_ring(name: str) -> None:
    in_namespace(name)


@pytest.mark.skipif(not COMPILED, reason="uncompiled, the interpreter's lock is held for each packet")
def test_a_busy_engine_leaves_no_packet_in_the_ring() -> None:
    in_namespace("a_busy_engine_leaves_no_packet_in_the_ring")


@pytest.mark.slow  # all live captures a second time
@pytest.mark.parametrize("name", LIVE)
def test_live_uncompiled_by_the_socket(name: str) -> None:
    in_namespace(name, uncompiled=True)


def with_capabilities(bounding: str) -> list[str]:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    script = f'ip link set lo up; exec setpriv --inh-caps=-all --bounding-set={bounding} "$@"'
    return ["sh", "-c", script, "sh"]


def test_the_capability_alone_is_enough() -> None:
    in_namespace("the_capability_alone_is_enough", *with_capabilities("-all,+net_raw"))


def test_without_the_capability_it_says_what_is_needed() -> None:
    in_namespace("without_the_capability_it_says_what_is_needed", *with_capabilities("-all"))
