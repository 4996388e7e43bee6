"""Runs as root inside the booted system of test_ansible_role.py: plays the role, writes what it saw.

Plain Python of the root: no package of ours.
"""

import json
import os
import signal
import subprocess
import time
import traceback
import urllib.request

SEEN: dict[str, object] = {}
CONFIG = "/etc/sbcwatch/sbcwatch.toml"
VARIABLES = "/etc/sbcwatch/environment"
PLAYBOOK = "/root/sbcwatch/deploy/ansible/site.yml"


def play(name, *options, **variables):
    """Play the role with these variables: its status, what it changed, the unit and the file then."""
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
    SEEN[name] = seen = {
        "status": done.returncode,
        "changed": changed,
        "told": done.stdout + done.stderr,
        "unit": dict(line.split("=", 1) for line in shown.splitlines()),
        "config": text_of(CONFIG),
        "variables": text_of(VARIABLES),
    }
    return seen


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


def main():
    with open("/root/hosts", "w") as hosts:
        hosts.write("[sbc]\nlocalhost ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n")
    play("looked", "--check")
    play("installed")["ready"] = ready(9642)
    SEEN["journal"] = subprocess.run(
        ["journalctl", "-u", "sbcwatch", "-o", "cat", "--no-pager"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    play("again")
    customers = '[customers]\nnetworks = ["203.0.113.0/24"]\n'
    play("configured", sbcwatch_config=customers)
    play("faulty", sbcwatch_config="[customers]\nnetwork = []\n")
    variables = {
        "SBCWATCH_PROMETHEUS_PORT": "9700",
        "SBCWATCH_CUSTOMERS_NETWORKS": "203.0.113.0/24,192.0.2.0/24",
    }
    varied = play("varied", sbcwatch_config=customers, sbcwatch_environment=variables)
    varied["ready"], varied["mode"] = ready(9700), mode_of(VARIABLES)
    misnamed = {"SBCWATCH_PROMETHEUS_PORTS": "9700"}
    play("misnamed", sbcwatch_config=customers, sbcwatch_environment=misnamed)


signal.alarm(500)
signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
try:
    main()
except Exception:
    SEEN["failed"] = traceback.format_exc()
with open("/seen.json.new", "w") as file:
    json.dump(SEEN, file)
os.rename("/seen.json.new", "/seen.json")
subprocess.run(["systemctl", "poweroff", "--force"], check=False)
