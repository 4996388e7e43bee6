"""No sender chooses how long the daemon is busy, or how much it keeps (benchmarks/worst.py).

Every shape is measured where time allows (`slow`); the quick test takes one of each table that was once
superlinear: of streams, of segments, of framed text.
"""

from __future__ import annotations

import pytest

from agent.capture.live import ring_cy
from tests.kit.hostile import shapes
from tests.kit.shape_cost import faults

pytestmark = pytest.mark.skipif(not ring_cy.COMPILED, reason="uncompiled, all is slow and says so")
SHAPES = {shape.name: shape for shape in shapes()}
ONCE_SUPERLINEAR = (
    "re-INVITEs on a socket of many streams",
    "TCP: holes",
    "framing: start lines, by 22 bytes",
)


@pytest.mark.parametrize("name", ONCE_SUPERLINEAR)
def test_cost_of_a_byte_stays_within_its_bound_at_every_size(name: str) -> None:
    shape = SHAPES[name]
    shape = shape._replace(most=min(shape.most, 20_000 if shape.stage is None else 3_000))
    assert not faults(shape) or not faults(shape)  # a busy machine is no fault


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_shape_stays_within_its_bounds(name: str) -> None:
    assert not faults(SHAPES[name]) or not faults(SHAPES[name])
