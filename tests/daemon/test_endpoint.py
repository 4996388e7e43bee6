from __future__ import annotations

from agent.config.settings import PrometheusSettings
from agent.daemon.endpoint import RETRY_S, Endpoint
from agent.errors import SinkError


class Port:
    """A server, and the port that may be taken."""

    def __init__(self) -> None:
        self.taken = False
        self.port = 9642
        self.events: list[str] = []

    def make(self, settings: PrometheusSettings) -> Port:
        if self.taken:
            raise SinkError("cannot serve /metrics on port 9642: Address already in use; set another one")
        self.events.append("bind")
        return self

    def start(self) -> None:
        self.events.append("start")

    def stop(self) -> None:
        self.events.append("stop")


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_port_is_bound_before_threads_may_start() -> None:
    port = Port()
    endpoint = Endpoint(port.make, print, Time())
    endpoint.bind(PrometheusSettings())
    assert port.events == ["bind"]
    endpoint.start()
    endpoint.look()
    assert port.events == ["bind", "start"]
    assert endpoint.port == 9642


def test_taken_port_is_tried_again_and_told() -> None:
    port, time, said = Port(), Time(), list[str]()
    port.taken = True
    endpoint = Endpoint(port.make, said.append, time)
    endpoint.bind(PrometheusSettings())
    endpoint.start()
    assert (endpoint.port, endpoint.failures) == (None, 1)
    port.taken = False
    endpoint.look()
    assert endpoint.port is None  # not yet time
    time.now += RETRY_S
    endpoint.look()
    assert port.events == ["bind", "start"]
    assert "Capture goes on; the next try is in 2 s" in said[0]
    assert said[1] == "/metrics is served on port 9642 now"


def test_switched_off_serves_nothing_and_tries_nothing() -> None:
    port, time = Port(), Time()
    endpoint = Endpoint(port.make, print, time)
    endpoint.bind(PrometheusSettings())
    endpoint.start()
    endpoint.bind(PrometheusSettings(enabled=False))
    time.now += 100.0
    endpoint.look()
    assert port.events == ["bind", "start", "stop"]
    assert endpoint.port is None
