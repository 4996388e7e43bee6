"""The image built and run: small, compiled, read-only, capturing a call in another's network namespace."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.container import IMAGE, Container, Images, Start, namespace
from tests.deploy.machine import ROOT

SIZE_LIMIT = 150e6
NETWORK = f"sbcwatch-{os.getpid()}"
TLS = "localhost/sbcwatch:tls"
SAY = """
import socket, time, urllib.request
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
text = b"OPTIONS sip:a@127.0.0.1 SIP/2.0\\r\\nCall-ID: 1\\r\\n\\r\\n"
for _ in range(20):
    out.sendto(text, ("127.0.0.1", 5060))
time.sleep(1)
print(urllib.request.urlopen("http://127.0.0.1:9642/metrics", timeout=5).read().decode())
"""


def dockerfile() -> str:
    return re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())


def test_dockerfile_keeps_its_promises() -> None:
    text = dockerfile()
    assert "SBCWATCH_REQUIRE_COMPILED=1" in text
    assert re.search(r'^HEALTHCHECK .*CMD \["sbcwatch", "healthcheck"\]$', text, re.MULTILINE)
    for line in text.splitlines():
        if "apt-get install" in line:
            assert "-y --no-install-recommends" in line
        if line.startswith(("ENTRYPOINT", "CMD")):
            assert isinstance(json.loads(line.split(" ", 1)[1]), list), "exec form: signals reach the daemon"
    assert text.count("DEBIAN_FRONTEND=noninteractive") >= 2


def test_dockerignore_lets_through_all_that_is_copied() -> None:
    let = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in dockerfile().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in shlex.split(line)[1:-1]:
                assert source.replace("README.m[d]", "README.md") in let


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    with namespace(NETWORK) as made:
        yield made


@pytest.fixture(scope="module")
def container(images: Images, network: str) -> Iterator[Container]:
    start = Start(["run", "--interface", "lo"], {"SBCWATCH_VC_ADDRESSES": "127.0.0.1"})
    with images.started(IMAGE, network, start) as made:
        made.wait_until_healthy()
        yield made


def within(network: str, code: str) -> str:
    run = subprocess.run(
        ["ip", "netns", "exec", network, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.image
def test_image_is_at_most_150_mb(images: Images) -> None:
    size = images.size(IMAGE)
    print(f"image {size / 1e6:.1f} MB, of which the base {images.size('localhost/base') / 1e6:.1f} MB")
    assert size <= SIZE_LIMIT


@pytest.mark.image
def test_image_checks_its_health_in_exec_form(images: Images) -> None:
    assert images.config(IMAGE)["Healthcheck"]["Test"] == ["CMD", "sbcwatch", "healthcheck"]
    assert images.config(IMAGE)["User"] == "65532:65532"


@pytest.mark.image
def test_container_is_healthy_with_net_raw_alone_on_a_read_only_root(container: Container) -> None:
    assert container.execute("sbcwatch", "healthcheck").returncode == 0
    status = container.execute("cat", "/proc/1/status").stdout
    assert re.search(r"CapEff:\s+0+\n", status)
    assert re.search(r"CapPrm:\s+0+\n", status)
    assert re.search(r"CapBnd:\s+0*2000\n", status)
    assert re.search(r"Uid:\s+65532\s+65532\s", status)
    assert re.search(r"NoNewPrivs:\s+1\n", status)
    assert container.execute("touch", "/etc/x").returncode != 0


@pytest.mark.image
def test_container_confines_itself(container: Container) -> None:
    given_up = "no capability; no new privileges; writes /var/lib/sbcwatch only; "
    assert given_up in container.log
    assert container.log.count("left out") == container.log.count("left out: root may not read all of /etc")


@pytest.mark.image
def test_container_counts_right_and_compiled(container: Container) -> None:
    run = container.execute("/opt/sbcwatch/bin/launch", "selftest")
    assert run.returncode == 0
    assert "RTP loop: compiled" in run.stdout
    assert "AF_PACKET allowed" in run.stdout


@pytest.mark.image
def test_executed_command_is_the_images_user_without_a_capability(container: Container) -> None:
    status = container.execute("cat", "/proc/self/status").stdout
    assert re.search(r"Uid:\s+65532\s+65532\s", status)
    assert re.search(r"CapPrm:\s+0+\n", status)


@pytest.mark.image
def test_capability_is_the_launchers_and_for_commands_that_capture_alone(container: Container) -> None:
    assert "live capture: not allowed here" in container.execute("sbcwatch", "selftest").stdout
    assert container.execute("sbcwatch", "web", "--help").returncode == 0
    code = "import starlette, uvicorn"
    assert container.execute("/opt/sbcwatch/bin/python3", "-c", code).returncode == 0


@pytest.mark.image
def test_container_hears_its_neighbour_in_the_shared_network(container: Container, network: str) -> None:
    metrics = within(network, SAY)
    frames = re.search(r"^sbcwatch_agent_frames_total ([\d.]+)", metrics, re.MULTILINE)
    assert frames
    assert float(frames[1]) >= 20


@pytest.mark.image
@pytest.mark.parametrize("service", ["cloudwatch", "logs", "s3", "sts"])
def test_container_has_the_services_used(container: Container, service: str) -> None:
    code = f"import boto3; boto3.client({service!r}, region_name='eu-west-1')"
    assert container.execute("/opt/sbcwatch/bin/python3", "-c", code).returncode == 0
    code = "import boto3; boto3.client('ec2', region_name='eu-west-1')"
    assert container.execute("/opt/sbcwatch/bin/python3", "-c", code).returncode != 0


@pytest.mark.image
def test_container_has_the_package_of_a_board(container: Container) -> None:
    board = "SBCWATCH_FLEET_BOARD=rediss://192.0.2.9"
    checked = container.execute("env", board, "sbcwatch", "check-config", "/dev/null")
    assert checked.returncode == 0, checked.stderr
    assert "board: rediss://192.0.2.9" in checked.stdout


@pytest.mark.image
def test_container_stops_in_order_on_sigterm(container: Container) -> None:
    container.kill(signal.SIGTERM.name)
    with contextlib.suppress(subprocess.TimeoutExpired):
        container.process.wait(20)
    assert container.process.poll() == 0, container.log


@pytest.mark.image
def test_tls_target_has_tshark(images: Images, tmp_path: Path) -> None:
    if not os.environ.get("SBCWATCH_TEST_TLS_IMAGE"):
        pytest.skip("tshark's packages take minutes to install: set SBCWATCH_TEST_TLS_IMAGE=1")
    images.build("localhost/base", TLS, "--target", "tls")
    working = images.run("from", "--pull-never", TLS)
    told = images.run("run", "--isolation", "chroot", working, "--", "tshark", "--version")
    assert "TShark" in told
    images.run(
        "run", "--isolation", "chroot", working, "--", "/opt/sbcwatch/bin/python3", "-c", "import pyshark"
    )
    images.run("rm", working)
