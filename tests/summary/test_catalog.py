import re

from agent.summary import catalog
from agent.summary.records import MAX_VALUES
from agent.summary.samples_cy import binned, sampled


def test_metrics_are_the_documents_forty_three_with_their_units() -> None:
    names = [metric.name for metric in catalog.METRICS]
    assert len(names) == len(set(names)) == 43
    assert {m.unit for m in catalog.METRICS if m.name.endswith("Jitter")} == {"Microseconds"}
    assert catalog.BY_NAME["MOSBetweenVcAndRemote"].unit == "None"


def test_media_fields_are_the_documents_thirty_seven() -> None:
    assert len(catalog.MEDIA_FIELDS) == len(set(catalog.MEDIA_FIELDS)) == 37
    assert catalog.MEDIA_FIELDS[-1] == "mos_btwn_vc_and_rem"


def test_prometheus_names_are_base_units_without_suffix_total() -> None:
    for metric in catalog.METRICS:
        assert re.fullmatch(r"sbcwatch_[a-z_]+", metric.prometheus)
        assert not metric.prometheus.endswith("_total")


def test_binned_many_samples_keeps_sum_count_and_extremes_exact() -> None:
    pairs = [(float(i * i % 7919), 1.0) for i in range(5000)]
    samples = binned(pairs)
    assert samples is not None
    assert len(samples.values) <= MAX_VALUES
    assert samples.count == 5000
    assert abs(samples.sum - sum(v for v, _ in pairs)) < 1e-6 * samples.sum
    assert min(samples.values) == min(v for v, _ in pairs)
    assert max(samples.values) == max(v for v, _ in pairs)
    assert samples.counts[0] == sum(1 for v, _ in pairs if v == samples.values[0])


def test_samples_one_by_one_are_binned_as_pairs_are() -> None:
    for count, step in ((0, 1), (1, 1), (150, 1), (150, 7), (151, 1), (5000, 7919), (5000, 97)):
        samples = [float(i * i % step) / 3 for i in range(count)] + [float("inf")]
        assert sampled(samples) == binned([(sample, 1.0) for sample in samples])


def test_binned_without_finite_samples_is_none() -> None:
    assert binned([]) is None
    assert binned([(float("nan"), 1.0)]) is None
