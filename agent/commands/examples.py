"""Lines that `--help`, the man page and the documentation show for each command: ready to copy."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "run": (
        "sbcwatch run --config /etc/sbcwatch/sbcwatch.toml",
        "sbcwatch run --interface eth0 --interface eth1",
    ),
    "replay": (
        "sbcwatch replay call.pcap",
        "sbcwatch replay one.pcap two.pcap --vc 192.0.2.1 --customer 198.51.100.0/24",
        "tcpdump -r big.pcap -w - port 5060 | sbcwatch replay - --vc 192.0.2.1 --json",
    ),
    "streams": (
        "sbcwatch streams call.pcap",
        "sbcwatch streams call.pcap --vc 192.0.2.1 --customer 198.51.100.0/24 --json",
    ),
    "verify": ("sbcwatch verify call.pcap",),
    "report": (
        "sbcwatch report call.pcap --vc 192.0.2.1 --customer 198.51.100.0/24 -o a.html",
        "sbcwatch report --number 0110 --since 15:42 -o report.html",
        "sbcwatch report --call a84b4c76e66710 --format pdf -o report.pdf",
    ),
    "fleet": (
        "sbcwatch fleet schema",
        "sbcwatch fleet grafana > fleet.json",
        "sbcwatch fleet carriers --since 1h",
    ),
    "top": ("sbcwatch top", "sbcwatch top --once --store .demo", "sbcwatch top capture.pcap --vc 10.10.0.1"),
    "check-config": (
        "sbcwatch check-config /etc/sbcwatch/sbcwatch.toml",
        "sbcwatch check-config sbcwatch.toml --strict --elsewhere --json",
    ),
    "web": ("sbcwatch web --store .demo", "sbcwatch web --config /etc/sbcwatch/sbcwatch.toml"),
    "calls": (
        "sbcwatch calls --since 1h --number 0110",
        "sbcwatch calls --since 2026-11-29T15:00 --worse-than 3.5 --sort mos",
        "sbcwatch calls --store .demo --flag one_way_audio --json",
    ),
    "minutes": ("sbcwatch minutes --since 3h --connector abcdef1ghij2klmno3pqr4",),
    "evidence": ("sbcwatch evidence list", "sbcwatch evidence arm --number 0110 --minutes 30"),
    "call": ("sbcwatch call 0110 --since 15:42", "sbcwatch call --store .demo c92938e13da25690"),
    "selftest": ("sbcwatch selftest",),
    "healthcheck": ("sbcwatch healthcheck --config /etc/sbcwatch/sbcwatch.toml",),
    "init": ("sbcwatch init -o sbcwatch.toml", "sbcwatch init --seconds 0 --no-imds"),
    "cost": (
        "sbcwatch cost --config sbcwatch.toml",
        "sbcwatch cost --hosts 200 --connectors 50 --calls 300 --cps 2",
    ),
    "aws": ("sbcwatch aws policy --config sbcwatch.toml", "sbcwatch aws alarms --hosts 12"),
    "config": ("sbcwatch config > sbcwatch.toml",),
    "completion": (
        "sbcwatch completion bash > /etc/bash_completion.d/sbcwatch",
        "sbcwatch completion zsh > /usr/local/share/zsh/site-functions/_sbcwatch",
        "sbcwatch completion fish > /etc/fish/completions/sbcwatch.fish",
    ),
    "help": ("sbcwatch help replay",),
}
