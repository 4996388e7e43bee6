import pytest

from agent.config.load import load, read
from agent.config.settings import Config
from agent.errors import ConfigError
from agent.provision.cost import MINUTES, check_bound, estimate, series_of, tiered


def config(text: str = "", **environment: str) -> Config:
    made, problems = read(text, environment)
    assert made is not None, problems
    return made


TWO = """
[[connectors]]
id = "a"
region = "eu-central-1"
[[connectors]]
id = "b"
region = "eu-central-1"
log_sip = false
[cloudwatch]
enabled = true
[logs]
enabled = true
"""


def test_series_two_connectors_in_one_region_are_three_times_forty_three() -> None:
    assert series_of(config(TWO)) == 3 * 45


def test_series_agent_figures_are_eight_a_host() -> None:
    more = config(TWO + "[cost]\nhosts = 5\n", SBCWATCH_CLOUDWATCH_AGENT_METRICS="true")
    assert estimate(more).series == 3 * 45 + 5 * 8


def test_estimate_disabled_sinks_cost_nothing() -> None:
    assert estimate(Config()).usd == 0
    assert estimate(Config(), as_if_enabled=True).usd > 0


def test_estimate_is_the_sum_worked_by_hand() -> None:
    made = estimate(config(TWO + "[cost]\nexpected_calls = 10\nexpected_cps = 0\nmedia_bytes = 974\n"))
    assert made.metrics_usd == pytest.approx(135 * 0.30)
    assert made.requests_usd == pytest.approx(43_800 / 1000 * 0.01)
    # 10 calls, each a record a minute of 974 + 26 bytes
    assert made.media_gb == pytest.approx(10 * MINUTES * 1000 / 1e9)
    assert made.ingestion_usd == pytest.approx(0.438 * 0.50)


def test_estimate_connector_without_sip_log_halves_the_sip_volume() -> None:
    assert estimate(config(TWO)).sip_gb == pytest.approx(
        estimate(config(TWO.replace("log_sip = false", ""))).sip_gb / 2
    )


@pytest.mark.parametrize(
    ("series", "other", "usd"),
    [
        (10_000, 0, 3_000.0),
        (10_001, 0, 3_000.10),
        (100, 9_950, 50 * 0.30 + 50 * 0.10),
        (1_000_100, 0, 3_000 + 24_000 + 37_500 + 100 * 0.02),
        (0, 20_000, 0.0),
    ],
)
def test_tiers_each_series_has_the_price_of_its_tier(series: int, other: int, usd: float) -> None:
    cost = Config().cost
    cost.other_metrics = other
    assert tiered(series, cost) == pytest.approx(usd)


def test_tiers_that_end_too_early_go_on_at_the_last_price() -> None:
    cost = config("[cost]\nmetric_tiers = [[10, 1.0]]").cost
    assert tiered(30, cost) == pytest.approx(30.0)


def test_bound_above_the_estimate_passes_and_below_refuses_naming_both() -> None:
    check_bound(config(TWO + "[cost]\nmax_monthly_cost = 1000\n"))
    with pytest.raises(ConfigError, match=r"USD a month, and cost.max_monthly_cost is 5.00"):
        check_bound(config(TWO + "[cost]\nmax_monthly_cost = 5\n"))


def test_refusal_shows_the_arithmetic() -> None:
    with pytest.raises(ConfigError, match=r"custom metrics: 135 series, 135 shared by hosts"):
        check_bound(config(TWO + "[cost]\nmax_monthly_cost = 5\n"))


def test_bound_of_series_refuses_one_more_and_counts_those_of_every_host() -> None:
    more = TWO + "agent_metrics = true\n[cost]\nhosts = 2\nmax_metrics = {}\n"
    more = more.replace("[logs]\nenabled = true\n", "")
    check_bound(config(more.format(135 + 16)))
    with pytest.raises(ConfigError, match=r"publishes 151 series, and cost.max_metrics is 150"):
        check_bound(config(more.format(150)))


def test_bound_zero_means_none() -> None:
    check_bound(config(TWO))
    check_bound(config(TWO + "[cost]\nmax_metrics = 0\n"))


def test_estimate_text_states_date_and_total() -> None:
    text = str(estimate(config(TWO)))
    assert "2025-09-01" in text
    assert text.splitlines()[-1].split()[0] == "together"


def test_cost_settings_from_the_environment() -> None:
    assert load(None, {"SBCWATCH_COST_HOSTS": "200"}).cost.hosts == 200
