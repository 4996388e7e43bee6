"""Sidecar manifests against the schemas of those who read them, and against what sbcwatch needs."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import pytest

from agent.assembly.check import region_of_this_host
from agent.config.load import load, read
from agent.provision.policy import statements

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (it comes with moto)")
DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = sorted(set((DEPLOY / "kubernetes").glob("*.yaml")) - {DEPLOY / "kubernetes/kustomization.yaml"})
ECS = sorted((DEPLOY / "ecs").glob("*.json"))
COMPOSE = DEPLOY / "compose/docker-compose.yml"


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text())


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Specifications of pods, wherever a manifest has them."""
    for path in KUBERNETES:
        for one in documents(path):
            if one["kind"] == "Pod":
                yield path.name, one["spec"]
            elif "template" in one.get("spec", {}):
                yield path.name, one["spec"]["template"]["spec"]


def container(containers: list[dict[str, Any]]) -> dict[str, Any]:
    return next(one for one in containers if one["name"] == "sbcwatch")


def setting_names(names: Iterator[str]) -> None:
    """Each SBCWATCH_ variable is a setting that exists."""
    for name in names:
        _, problems = read("", {name: "0"})
        assert not any("no such setting" in problem.text for problem in problems), name


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_kubernetes_manifest_keeps_the_schema_strictly(path: Path) -> None:
    validator = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed (it ships the schemas)"
    )
    for one in documents(path):
        validator.validate(one, validator.latest_version(), strict=True)


@pytest.mark.parametrize(
    ("name", "pod"), list(pods()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_pod_gives_net_raw_alone_and_keeps_state(name: str, pod: dict[str, Any]) -> None:
    ours = container(pod["containers"])
    security = ours["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW"]}
    assert security["readOnlyRootFilesystem"]
    assert security["runAsNonRoot"]
    assert security["runAsUser"] == 65532
    assert security["allowPrivilegeEscalation"], "no_new_privs takes the launcher's capability away"
    mounts = {mount["name"]: mount["mountPath"] for mount in ours["volumeMounts"]}
    assert mounts["state"] == "/var/lib/sbcwatch"
    assert set(mounts) <= {volume["name"] for volume in pod["volumes"]}
    assert "cpu" not in ours["resources"]["limits"], "a throttled capture drops"
    assert pod["terminationGracePeriodSeconds"] >= 30
    setting_names(one["name"] for one in ours.get("env", ()))


def test_daemonset_is_on_the_hosts_network() -> None:
    pod = next(pod for name, pod in pods() if name == "daemonset.yaml")
    assert pod["hostNetwork"]
    assert pod["dnsPolicy"] == "ClusterFirstWithHostNet"


def test_configurations_in_manifests_are_valid(tmp_path: Path) -> None:
    texts = [
        one["data"]["sbcwatch.toml"]
        for path in KUBERNETES
        for one in documents(path)
        if one["kind"] == "ConfigMap"
    ]
    texts.append((DEPLOY / "compose/sbcwatch.toml").read_text())
    assert len(texts) == 2
    for text in texts:
        path = tmp_path / "sbcwatch.toml"
        path.write_text(text)
        load(path, {})


@pytest.mark.parametrize("path", ECS, ids=lambda path: path.name)
def test_task_definition_is_what_the_ecs_api_takes(path: Path) -> None:
    """botocore's model of RegisterTaskDefinition is the API's own."""
    import botocore.session
    from botocore.validate import ParamValidator

    model = botocore.session.get_session().get_service_model("ecs")
    shape = model.operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    report = ParamValidator().validate(json.loads(path.read_text()), shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.slow
@pytest.mark.parametrize("path", ECS, ids=lambda path: path.name)
def test_task_definition_passes_cfn_lint_as_a_resource(path: Path, tmp_path: Path) -> None:
    """The CloudFormation schema knows patterns and combinations that the API's model does not."""
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed (pip install cfn-lint)")
    plain = {"options", "Options"}

    def capitalised(node: Any, keep: bool = False) -> Any:
        if isinstance(node, dict):
            return {
                key if keep else key[0].upper() + key[1:]: capitalised(value, key in plain)
                for key, value in node.items()
            }
        return [capitalised(one) for one in node] if isinstance(node, list) else node

    resource = {"Type": "AWS::ECS::TaskDefinition", "Properties": capitalised(json.loads(path.read_text()))}
    template = tmp_path / "task.json"
    template.write_text(
        json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Task": resource}})
    )
    lint = [sys.executable, "-c", "from cfnlint.runner import main; main()", "--ignore-checks", "W", "--"]
    run = subprocess.run(
        [*lint, str(template)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout


def test_task_definitions_settings_exist_and_capabilities_are_narrow() -> None:
    for path in ECS:
        task = json.loads(path.read_text())
        ours = container(task["containerDefinitions"])
        setting_names(one["name"] for one in ours["environment"] if one["name"].startswith("SBCWATCH_"))
        assert ours["readonlyRootFilesystem"]
        assert "user" not in ours
        assert "no-new-privileges" not in ours.get("dockerSecurityOptions", ())
        capabilities = ours["linuxParameters"]["capabilities"]
        if task["networkMode"] == "host":
            assert capabilities == {"drop": ["ALL"], "add": ["NET_RAW"]}
        else:  # Fargate adds none but SYS_PTRACE: what is not NET_RAW is dropped by name
            assert "add" not in capabilities
            assert "NET_RAW" not in capabilities["drop"]
            assert len(capabilities["drop"]) == 13


def test_compose_file_is_taken_by_compose(tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip(
            "docker-compose is not installed (Debian: docker-compose); its structure is checked below"
        )
    run = subprocess.run([program, "-f", str(COMPOSE), "config"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "sbcwatch" in yaml.safe_load(run.stdout)["services"]


def test_compose_shares_one_network_and_gives_net_raw_alone() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert services["sbcwatch"]["network_mode"] == services["rtpengine"]["network_mode"] == "service:kamailio"
    assert services["sbcwatch"]["cap_drop"] == ["ALL"]
    assert services["sbcwatch"]["cap_add"] == ["NET_RAW"]
    assert "security_opt" not in services["sbcwatch"]
    for service in services.values():
        assert (COMPOSE.parent / service["build"].get("dockerfile", "../../Dockerfile")).exists()
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (COMPOSE.parent / source).exists(), source


def test_compose_calls_itself_from_a_customer_to_the_remote_end() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    address = {
        name: ip_address(service["networks"]["voice"]["ipv4_address"])
        for name, service in services.items()
        if "networks" in service
    }
    config, problems = read((COMPOSE.parent / "sbcwatch.toml").read_text(), {})
    assert config is not None, problems
    customers = [ip_network(network) for network in config.customers.networks]
    assert any(address["caller"] in network for network in customers)
    assert not any(address["carrier"] in network for network in customers)
    assert str(address["carrier"]) in services["kamailio"]["environment"]["CARRIER"]
    assert f"{address['kamailio']}:5060" in services["caller"]["command"]
    for name in ("caller", "carrier"):
        scenario = COMPOSE.parent / f"{name}.xml"
        assert ElementTree.parse(scenario).getroot().tag == "scenario"
        assert str(address[name]) in services[name]["command"]


def test_compose_media_ports_agree_between_its_parts() -> None:
    text = COMPOSE.read_text()
    first, last = re.search(r"--port-min=(\d+).*--port-max=(\d+)", text).groups()  # type: ignore[union-attr]
    assert f'media_ports = "{first}-{last}"' in (DEPLOY / "compose/sbcwatch.toml").read_text()
    assert f"{first}-{last}:{first}-{last}/udp" in text


def test_compose_kamailio_reads_its_configuration() -> None:
    program = shutil.which("kamailio")
    if program is None:
        pytest.skip("kamailio is not installed")
    run = subprocess.run(
        [program, "-c", "-f", str(COMPOSE.parent / "kamailio.cfg")],
        capture_output=True, text=True, check=False,
        env={"CARRIER": "203.0.113.10:5060", "PATH": "/usr/sbin:/usr/bin"},
    )  # fmt: skip
    assert "config file ok" in run.stdout + run.stderr, run.stderr


def test_readme_names_every_manifest() -> None:
    text = (DEPLOY / "README.md").read_text()
    for path in (*KUBERNETES, *ECS, COMPOSE):
        assert str(path.relative_to(DEPLOY)) in text


def test_policy_is_what_the_tasks_role_needs() -> None:
    config, _ = read("", {})
    assert config is not None
    assert {one["Sid"] for one in statements(config)} == {"Metrics", "LogEvents", "LogGroups"}


def test_no_image_is_the_latest_of_anything() -> None:
    for path in (*KUBERNETES, *ECS, COMPOSE):
        assert ":latest" not in path.read_text(), path


@pytest.mark.parametrize("path", ECS, ids=lambda path: path.name)
def test_task_definition_starts_and_names_its_connector(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment alone is a configuration: nothing unknown, a connector, a region for AWS."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for container in json.loads(path.read_text())["containerDefinitions"]:
        variables = {each["name"]: each["value"] for each in container.get("environment", ())}
        if variables:
            config, problems = read("", variables)
            assert config is not None, problems
            assert [connector.id for connector in config.connectors] == ["trunk-1"]
            assert config.connectors[0].customer_networks
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            assert list(region_of_this_host(config)) == []


def test_kustomization_names_what_is_there() -> None:
    base = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())
    for name in base["resources"]:
        assert (DEPLOY / "kubernetes" / name).exists()


def test_namespace_lets_the_daemonset_in() -> None:
    (namespace,) = [
        each for each in documents(DEPLOY / "kubernetes/daemonset.yaml") if each["kind"] == "Namespace"
    ]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"


def test_ansible_role_is_read_by_ansible(tmp_path: Path) -> None:
    program = shutil.which("ansible-playbook")
    if program is None:
        pytest.skip("not installed: ansible-playbook (see tests/deploy/packages.txt)")
    done = subprocess.run(
        [program, "--syntax-check", "-i", "localhost,", str(DEPLOY / "ansible/site.yml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def is_ignored(path: str, rules: list[str]) -> bool:
    """By the last rule that names the path or a folder above it (.dockerignore)."""
    parts = [path, *(each.as_posix() for each in PurePosixPath(path).parents)]
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        if any(fnmatch(each, pattern) for each in parts):
            ignored = not rule.startswith("!")
    return ignored


def test_every_file_that_the_image_copies_is_seen_by_its_build() -> None:
    rules = (DEPLOY.parent / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY.parent / "Dockerfile").read_text(), re.M)
    files = [path for line in copied for path in line.replace("README.m[d]", "README.md").split()]
    assert "deploy/launch.c" in files
    assert [path for path in files if is_ignored(path, rules)] == []
