"""Runs inside the booted system of test_ansible_role.py (in_root.py): plays the role.

Plain Python of the root: no package of ours.
"""

import json
import os
import subprocess
import time
import urllib.request

CONFIG = "/etc/sbcwatch/sbcwatch.toml"
VARIABLES = "/etc/sbcwatch/environment"
PLAYBOOK = "/root/sbcwatch/deploy/ansible/site.yml"


def play(*options, **variables):
    """Plays the role with these variables: its status, what it changed, the unit and the files then."""
    command = ["ansible-playbook", "-i", "/root/hosts", PLAYBOOK, "-e", json.dumps(variables), *options]
    done = subprocess.run(
        command, cwd="/root/sbcwatch", capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "HOME": "/root", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    shown = subprocess.run(
        ["systemctl", "show", "sbcwatch", "-p", "ActiveState,MainPID,UnitFileState"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    changed, task = [], ""
    for line in done.stdout.splitlines():
        if line.startswith(("TASK [", "RUNNING HANDLER [")):
            task = line.partition("[")[2].partition("]")[0]
        elif line.startswith("changed: "):
            changed.append(task)
    return {
        "status": done.returncode,
        "changed": changed,
        "told": done.stdout + done.stderr,
        "unit": dict(line.split("=", 1) for line in shown.splitlines()),
        "config": text_of(CONFIG),
        "variables": text_of(VARIABLES),
    }


def text_of(path):
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return file.read()


def mode_of(path):
    return oct(os.stat(path).st_mode) if os.path.exists(path) else ""


def ready(port):
    """The answer of /readyz, which is there soon after systemd was told that the daemon is up."""
    answer = ""
    for _ in range(60):
        try:
            where = f"http://127.0.0.1:{port}/readyz"
            return urllib.request.urlopen(where, timeout=5).read().decode().strip()
        except OSError as error:
            answer = str(error)
            time.sleep(0.5)
    return answer


def journal():
    return subprocess.run(
        ["journalctl", "-u", "sbcwatch", "-o", "cat", "--no-pager"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip


def main(seen):
    with open("/root/hosts", "w") as hosts:
        hosts.write("[sbc]\nlocalhost ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n")
    seen["looked"] = play("--check")
    seen["installed"] = play() | {"ready": ready(9642)}  # from left to right: the play comes first
    seen["journal"] = journal()
    seen["again"] = play()
    customers = '[customers]\nnetworks = ["203.0.113.0/24"]\n'
    seen["configured"] = play(sbcwatch_config=customers)
    seen["faulty"] = play(sbcwatch_config="[customers]\nnetwork = []\n")
    variables = {
        "SBCWATCH_PROMETHEUS_PORT": "9700",
        "SBCWATCH_CUSTOMERS_NETWORKS": "203.0.113.0/24,192.0.2.0/24",
    }
    varied = play(sbcwatch_config=customers, sbcwatch_environment=variables)
    seen["varied"] = varied | {"ready": ready(9700), "mode": mode_of(VARIABLES)}
    misnamed = {"SBCWATCH_PROMETHEUS_PORTS": "9700"}
    seen["misnamed"] = play(sbcwatch_config=customers, sbcwatch_environment=misnamed)
