# cython: language_level=3
"""Distributions: tens of thousands of samples in a minute as the few bins that CloudWatch takes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import mul

import cython

from agent.summary.records import MAX_VALUES, Samples

Floats = list[float]


def binned(pairs: Iterable[tuple[float, float]]) -> Samples | None:
    """(value, count) pairs as at most `MAX_VALUES` bins; None where there are none."""
    merged: dict[float, float] = {}
    for value, count in pairs:
        if is_finite(value) and count > 0:
            merged[value] = merged.get(value, 0.0) + count
    values = sorted(merged)  # pairs take four times as long to sort
    return _shared_out(values, [merged[value] for value in values])


def sampled(samples: Floats) -> Samples | None:
    """As `binned`, of single samples."""
    values: Floats = []
    counts: Floats = []
    count: cython.double = 0.0
    value: cython.double = 0.0
    sample: cython.double
    for sample in sorted([sample for sample in samples if is_finite(sample)]):
        if count and sample != value:
            values.append(value)
            counts.append(count)
            count = 0.0
        value = sample
        count += 1.0
    if count:
        values.append(value)
        counts.append(count)
    return _shared_out(values, counts)


def is_finite(value: cython.double) -> cython.bint:
    return value - value == 0.0  # infinity less itself is no number


def _shared_out(values: Floats, counts: Floats) -> Samples | None:
    """Inner bins hold equal shares of the samples (by rank): percentiles stay near where most samples are."""
    if not values:
        return None
    if len(values) <= MAX_VALUES:
        return Samples(values, counts)
    last: cython.Py_ssize_t = len(values) - 1
    share: cython.double = math.fsum(counts[1:last]) / (MAX_VALUES - 2)
    filled: cython.double = 0.0
    begin: cython.Py_ssize_t = 1
    at: cython.Py_ssize_t
    means: Floats = [values[0]]
    weights: Floats = [counts[0]]
    for at in range(1, last):
        filled += counts[at]
        if filled >= share * len(means) - 1e-9 or at == last - 1:
            weight = math.fsum(counts[begin : at + 1])
            means.append(math.fsum(map(mul, values[begin : at + 1], counts[begin : at + 1])) / weight)
            weights.append(weight)
            begin = at + 1
    return Samples([*means, values[last]], [*weights, counts[last]])
