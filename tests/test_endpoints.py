"""The phones' own statistics against what was published of their calls (tests/kit/endpoints.py)."""

from __future__ import annotations

import pytest

from tests.kit.endpoints import judged, mean, table, told
from tests.kit.replayed import scenario, sidecar

reporting = pytest.mark.parametrize("name", told())


@reporting
def test_figures_are_those_of_the_phones(name: str) -> None:
    found = judged(name)
    assert found
    assert [each for each in found if each.apart > each.tolerance] == []


@reporting
def test_loss_is_exactly_the_phones(name: str) -> None:
    for each in judged(name):
        if each.what.endswith("lost"):
            assert each.published == each.phone, each


@pytest.mark.parametrize("name", ["delay-inbound", "delay-outbound"])
def test_delay_lies_on_its_side_of_the_sbc(name: str) -> None:
    network = sidecar(name)["truth"]["network"]
    assert network["between"] == "customer and sbc, each way"
    customer_us = mean(scenario(name), "RTTBetweenVcAndCustomer")
    remote_us = mean(scenario(name), "RTTBetweenVcAndRemote")
    assert customer_us is not None
    assert remote_us is not None
    # The box adds at least its delay each way; what the phones and the box's scheduling add is a few ms.
    assert 2 * network["delay_ms"] <= customer_us / 1000 <= 2 * network["delay_ms"] + 5
    assert remote_us / 1000 <= 3


def test_every_kind_of_figure_was_judged(capsys: pytest.CaptureFixture[str]) -> None:
    found = [each for name in told() for each in judged(name)]
    with capsys.disabled():
        print("\n" + table(found))
    assert len(told()) >= 20
    assert sum(each.what.startswith("RTT ms") for each in found) >= 40
    assert any(each.phone > 10 for each in found if each.what.endswith("lost"))
    assert any(each.phone > 80 for each in found if each.what == "RTT ms")
    assert any(each.phone > 4 for each in found if each.what.endswith("jitter ms"))
