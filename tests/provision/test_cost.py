from pathlib import Path

import pytest

from agent.cli import main
from agent.config.load import load, read
from agent.config.settings import Config
from agent.errors import ConfigError
from agent.provision.cost import Estimate, check_bound, estimate, tiered
from agent.provision.put_alarms import alarm_parameters, alarmed_metrics
from agent.provision.series import series_of
from agent.provision.volume import MINUTES


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
    assert made.part("custom metrics") == pytest.approx(135 * 0.30)
    assert made.part("requests") == pytest.approx(43_800 / 1000 * 0.01)
    # 10 calls, each a record a minute of 974 + 26 bytes
    assert pytest.approx(0.438) == 10 * MINUTES * 1000 / 1e9
    assert made.part("logs in: 0.44 GB of media") == pytest.approx(0.438 * 0.50)
    assert made.part("logs in: 0.00 GB of SIP") == 0
    assert made.part("logs kept") == pytest.approx(0.438 * 0.15 * 30 / (730 / 24) * 0.03)
    # 30 queries of a day each
    assert made.part("queries by Logs Insights") == pytest.approx(30 * 0.438 / (730 / 24) * 0.005)
    assert made.part("dashboard") == 3.0


def test_estimate_connector_without_sip_log_halves_the_sip_volume() -> None:
    assert sip_usd(estimate(config(TWO))) == pytest.approx(
        sip_usd(estimate(config(TWO.replace("log_sip = false", "")))) / 2
    )


def sip_usd(made: Estimate) -> float:
    return next(usd for text, usd in made.lines if text.endswith("of SIP messages"))


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


def test_alarms_are_billed_by_the_metrics_that_they_look_at() -> None:
    """A metric alarm by those that it names, a Metrics Insights alarm by those that its query finds."""
    many = config(
        "".join(f'[[connectors]]\nid = "c{n}"\n' for n in range(30)) + "[cloudwatch]\nenabled = true\n"
    )
    many.cloudwatch.agent_metrics = True
    printed = alarm_parameters(many, 12)
    named = sum("MetricStat" in query for alarm in printed for query in alarm["Metrics"])
    # connectors silent: 30 series; host-silent, hosts-missing, capture-drops, stuck-delivery: 12 each
    assert alarmed_metrics(many, 12) == (len(printed), named, 30 + 4 * 12)
    many.cost.hosts = 12
    assert estimate(many).part("alarms") == pytest.approx((named + 78) * 0.10)
    assert "composite" not in str(estimate(many))
    many.cost.composite_alarms = 7
    assert estimate(many).part("composite alarms") == pytest.approx(3.50)


def test_infrequent_class_halves_what_goes_in_and_call_records_are_priced_where_they_are_on() -> None:
    logs = "[cost]\nexpected_cps = 2\n[logs]\nenabled = true\n"
    usual = estimate(config(logs))
    rare = estimate(config(logs + 'group_class = "INFREQUENT_ACCESS"\n'))
    assert rare.part("logs in") == pytest.approx(usual.part("logs in") / 2)
    assert "call records" not in str(usual)
    more = estimate(config(logs + "calls = true\n"))
    # 2 a second of 1,000 + 26 bytes
    assert more.part("logs in") - usual.part("logs in") == pytest.approx(2 * 60 * MINUTES * 1026 / 1e9 * 0.50)


def test_archive_costs_its_puts_its_months_and_the_scans_of_athena() -> None:
    text = '[archive]\nurl = "s3://my-bucket/x"\n[cost]\nhosts = 10\nexpected_cps = 0\nexpected_calls = 100\n'
    made = estimate(config(text))
    assert made.part("archive: 876,000 PUTs") == pytest.approx(4.38)  # media and metrics: no call ended
    media, metrics = 10 * 100 * MINUTES * 420 / 1e9, 10 * MINUTES * 275 / 1e9
    assert made.part("archive kept") == pytest.approx((media + metrics) * 30 / (730 / 24) * 0.023)
    assert made.part("queries by Athena") == pytest.approx(30 * media / (730 / 24) / 1000 * 5)
    assert not made.part("logs")
    assert not made.part("custom")
    assert not made.hypothetical


def test_athena_bills_ten_megabytes_a_query_at_least() -> None:
    made = estimate(
        config('[archive]\nurl = "s3://my-bucket/x"\n[cost]\nqueries = 1000\nexpected_calls = 0.01\n')
    )
    assert made.part("queries by Athena") == pytest.approx(0.05)


def test_folder_as_an_archive_costs_nothing() -> None:
    assert estimate(config('[archive]\nurl = "file:///var/lib/x"\n')).usd == 0


def test_clickhouse_costs_the_disk_of_what_its_tables_keep() -> None:
    made = estimate(
        config('[clickhouse]\nurl = "https://c:8443"\n[cost]\nexpected_calls = 1000\nexpected_cps = 0\n')
    )
    assert made.usd == pytest.approx(1000 * 1440 * 90 * 115 / 1e9 * 0.08)


def test_print_keeps_every_number_whole_within_eighty_columns(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "all.toml"
    file.write_text(
        '[cloudwatch]\nenabled = true\nregion = "us-east-1"\nagent_metrics = true\n'
        'dimensions = ["VoiceConnectorId", "Region", "Carrier"]\n[logs]\nenabled = true\ncalls = true\n'
        '[archive]\nurl = "s3://my-bucket/x"\n[clickhouse]\nurl = "https://c:8443"\n[cost]\nmax_metrics = 0\n'
    )
    asked = [
        "--hosts",
        "100000",
        "--connectors",
        "5000",
        "--carriers",
        "100",
        "--calls",
        "100000",
        "--cps",
        "999",
    ]
    assert main(["cost", "--config", str(file), *asked]) == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    made = load(str(file))
    made.cost.hosts, made.cost.expected_calls, made.cost.expected_cps = 100_000, 100_000, 999
    assert f"{100_000 * 100_000 * MINUTES * 3426 / 1e9:,.2f}" in printed
    total = float(printed.split()[-1].replace(",", ""))
    amounts = [
        float(line.split()[-1].replace(",", "")) for line in printed.splitlines() if line[-3:-2] == "."
    ]
    assert sum(amounts[:-1]) == pytest.approx(total, abs=0.1)


def test_options_stand_for_settings_and_connectors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--hosts", "10", "--connectors", "5"]) == 0
    printed = capsys.readouterr().out
    assert "month of 10 hosts" in printed
    assert f"{6 * 45} series" in printed
    assert main(["cost", "--hosts", "0"]) == 2
    assert "--hosts 0 will not do" in capsys.readouterr().err
    assert main(["cost", "--calls", "nan"]) == 2


def test_options_take_the_first_connectors_of_the_file_and_then_further_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two.toml"
    file.write_text(TWO.replace("enabled = true", 'enabled = true\nregion = "eu-central-1"', 1))
    for number in (1, 2, 7):
        assert main(["cost", "--config", str(file), "--connectors", str(number)]) == 0
        assert f"{(number + 1) * 45} series" in capsys.readouterr().out
