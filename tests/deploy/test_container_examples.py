"""The examples of deploy/ started: the image as each of them says, and the whole of the compose file.

No Docker, kubelet or ECS agent is here. What they make of a manifest for the container runtime is made here
from the manifest itself: the command, variables, volumes with their owners, user and capabilities.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.deploy.container import IMAGE, Images, Start, namespace
from tests.deploy.machine import ROOT, needs
from tests.lab.network import inside
from tests.lab.processes import Process, run, wait_until

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (it comes with moto)")
pytestmark = pytest.mark.image
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose/docker-compose.yml"
USER = 65532
# What Docker leaves a container where nothing is dropped.
DEFAULT = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
    "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
HOST, BROADCAST = "10.99.1.5", "10.99.1.255"  # the host's, pod's or task's own address
FRAMES = re.compile(r'^sbcwatch_agent_interface_frames_total\{interface="eth0"\} [1-9]', re.M)


def capabilities(drop: list[str], add: list[str]) -> list[str]:
    return sorted({name for name in DEFAULT if name not in drop and "ALL" not in drop} | set(add))


def folder(path: Path, mode: int, owner: int = 0) -> Path:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, owner, owner)
    return path


def ours(containers: list[dict[str, Any]]) -> dict[str, Any]:
    return next(one for one in containers if one["name"] == "sbcwatch")


def task(name: str, place: Path) -> Iterator[Start]:
    """A task definition's container. A host's folder is the image's user's, as deploy/README.md says."""
    definition = json.loads((DEPLOY / "ecs" / name).read_text())
    container = ours(definition["containerDefinitions"])
    sources = {one["name"]: one.get("host", {}).get("sourcePath") for one in definition["volumes"]}
    limits = container["linuxParameters"]["capabilities"]
    yield Start(
        environment={one["name"]: one["value"] for one in container["environment"]},
        folders={
            mount["containerPath"]: folder(place / mount["sourceVolume"], 0o755, USER)
            for mount in container["mountPoints"]
            if sources[mount["sourceVolume"]]  # others are volumes of Docker's: the image's user owns them
        },
        capabilities=capabilities(limits.get("drop", []), limits.get("add", [])),
    )


def pod(name: str, place: Path) -> Iterator[Start]:
    """A pod's containers of ours, the initial ones first."""
    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))
    files = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    (spec,) = (
        one["spec"].get("template", one)["spec"] for one in objects if one["kind"] in {"Pod", "DaemonSet"}
    )
    sources = {one["name"]: volume(one, files, place) for one in spec["volumes"]}
    for container in [*spec.get("initContainers", []), ours(spec["containers"])]:
        security = container["securityContext"]
        limits = security["capabilities"]
        yield Start(
            arguments=container.get("args", ()) or container.get("command", [])[1:],
            entrypoint=container.get("command", [])[:1],
            environment={
                one["name"]: one["value"] if "value" in one else {"status.podIP": HOST}[field_of(one)]
                for one in container.get("env", [])
            },
            folders={mount["mountPath"]: sources[mount["name"]] for mount in container["volumeMounts"]},
            user=f"{security['runAsUser']}:0",  # the group of a user that no image names
            capabilities=capabilities(limits["drop"], limits["add"]),
            no_new_privileges=not security["allowPrivilegeEscalation"],
        )


def field_of(variable: Mapping[str, Any]) -> str:
    return str(variable["valueFrom"]["fieldRef"]["fieldPath"])


def volume(one: dict[str, Any], files: Mapping[str, Mapping[str, str]], place: Path) -> Path:
    """A volume's folder, with the owner and mode that a kubelet gives it."""
    made = folder(place / one["name"], 0o777 if "emptyDir" in one else 0o755)
    for name, text in files[one["configMap"]["name"]].items() if "configMap" in one else ():
        (made / name).write_text(text)
    return made


def composed(name: str, place: Path) -> Iterator[Start]:
    """The compose file's service; its named volume is the image's user's."""
    service = yaml.safe_load(COMPOSE.read_text())["services"][name]
    sources = dict(one.split(":")[1::-1] for one in service["volumes"] if one.startswith("./"))
    yield Start(
        arguments=service["command"],
        folders={target: COMPOSE.parent / source for target, source in sources.items()},
        capabilities=capabilities(service["cap_drop"], service["cap_add"]),
    )


def as_root(name: str, place: Path) -> Iterator[Start]:
    """Where policy insists on no-new-privileges (deploy/README.md): user 0 with NET_RAW alone."""
    yield Start(user=name, no_new_privileges=True)


EXAMPLES: list[tuple[str, Callable[[str, Path], Iterator[Start]]]] = [
    ("ec2.json", task),
    ("fargate.json", task),
    ("daemonset.yaml", pod),
    ("sidecar.yaml", pod),
    ("sbcwatch", composed),
    ("0:0", as_root),
]


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    """A namespace with a NIC, as a host, a pod and a task have it."""
    needs("ip")
    with namespace(f"sbcwatch-example-{os.getpid()}") as name:
        run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
        run("ip", "-n", name, "address", "add", f"{HOST}/24", "broadcast", BROADCAST, "dev", "eth0")
        for link in ("eth0", "far0"):
            run("ip", "-n", name, "link", "set", link, "up")
        yield name


def speak(network: str) -> None:
    """SIP that leaves by the NIC."""
    with inside(network), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for number in range(20):
            text = f"OPTIONS sip:a@{HOST} SIP/2.0\r\nCall-ID: {number}\r\nCSeq: 1 OPTIONS\r\n\r\n"
            out.sendto(text.encode(), (BROADCAST, 5060))


def page(network: str, path: str) -> str:
    with inside(network):
        return str(urllib.request.urlopen(f"http://127.0.0.1:9642{path}", timeout=5).read().decode())


def is_ready(network: str) -> bool:
    with suppress(HTTPError):
        return page(network, "/readyz").strip() == "ok"
    return False


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_example_starts_captures_and_stops_in_order(
    images: Images,
    network: str,
    tmp_path: Path,
    name: str,
    example: Callable[[str, Path], Iterator[Start]],
) -> None:
    *before, start = example(name, tmp_path)
    for one in before:
        with images.started(IMAGE, network, one) as initial:
            assert initial.process.wait(30) == 0, initial.log
    with images.started(IMAGE, network, start) as container:
        container.wait_until_healthy()
        wait_until(lambda: is_ready(network), "the first frames to be read", 30)  # alive comes before ready
        speak(network)
        wait_until(lambda: FRAMES.search(page(network, "/metrics")) is not None, "frames of eth0", 15)
        assert "no capability; no new privileges" in container.log
        container.kill("SIGTERM")
        assert container.process.wait(30) == 0, container.log


def test_compose_file_carries_calls_and_all_of_each_is_counted(images: Images, tmp_path: Path) -> None:
    """Kamailio, rtpengine and sipp are this machine's: Debian's packages, as in the file's own image."""
    needs("ip", "kamailio", "rtpengine", "sipp")
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    with ExitStack() as stack:
        hub = stack.enter_context(namespace(f"sbcwatch-compose-{os.getpid()}"))
        run("ip", "-n", hub, "link", "add", "voice", "type", "bridge")
        run("ip", "-n", hub, "link", "set", "voice", "up")
        homes = {}
        for name, service in services.items():
            if "networks" in service:
                homes[name] = stack.enter_context(namespace(f"{hub}-{name}"))
                attach(hub, homes[name], name, service["networks"]["voice"]["ipv4_address"])
        start = next(composed("sbcwatch", tmp_path))
        watcher = stack.enter_context(images.started(IMAGE, homes["kamailio"], start))
        watcher.wait_until_healthy()
        for name in ("kamailio", "rtpengine", "carrier", "caller"):
            service = services[name]
            home = homes[service.get("network_mode", f"service:{name}").partition(":")[2]]
            process = Process(home, command(service), tmp_path / f"{name}.log", env=variables(service))
            stack.callback(process.stop)
            if name != "caller":
                time.sleep(1)  # nothing in the file waits for more than a start either
        home, log = homes["kamailio"], tmp_path / "caller.log"

        def heard_whole() -> bool:
            """Between two calls: on all four ways what sipp plays in a call."""
            played = re.search(r"npkts (\d+)", log.read_text())
            packets = metric(home, "sbcwatch_rtp_packets_total")
            return (
                played is not None
                and len(packets) == 4
                and len(counts := set(packets.values())) == 1
                and max(counts) > 0
                and max(counts) % int(played[1]) == 0
            )

        wait_until(heard_whole, "a call that is heard whole", 60, poll_s=0.5)
        attempts = metric(home, "sbcwatch_call_attempts_total")
        assert attempts["outbound"] >= 1
        assert attempts["inbound"] == 0
        assert set(metric(home, "sbcwatch_packets_lost_total").values()) == {0}
        shown = watcher.execute("sbcwatch", "top", "--once", "--config", "/etc/sbcwatch/sbcwatch.toml")
        assert shown.returncode == 0, shown.stderr
        assert "default" in shown.stdout


def attach(hub: str, home: str, name: str, address: str) -> None:
    """Give a namespace an eth0 on the network of the hub."""
    port = f"to-{name}"
    run("ip", "-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", home)
    run("ip", "-n", hub, "link", "set", port, "master", "voice", "up")
    run("ip", "netns", "exec", home, "ethtool", "-K", "eth0", "tx", "off")
    run("ip", "-n", home, "address", "add", f"{address}/24", "dev", "eth0")
    run("ip", "-n", home, "link", "set", "eth0", "up")


def command(service: Mapping[str, Any]) -> list[str]:
    """A service's command with the files that are mounted into it at their own places."""
    words = list(service["command"])
    for one in service.get("volumes", []):
        source, target = one.split(":")[:2]
        words = [str(COMPOSE.parent / source) if word == target else word for word in words]
        if target == "/etc/kamailio/kamailio.cfg":  # which it reads by itself
            words += ["-f", str(COMPOSE.parent / source)]
    return words


def variables(service: Mapping[str, Any]) -> dict[str, str]:
    """Its variables, each with the default that the file gives it."""
    return {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", text) for name, text in service.get("environment", {}).items()
    }


def metric(home: str, name: str) -> dict[str, float]:
    """A metric's values by the direction."""
    found = re.findall(rf'^{name}{{direction="(\w+)".*}} ([\d.]+)$', page(home, "/metrics"), re.M)
    return {direction: float(value) for direction, value in found}
