"""Runs inside the booted system of test_machine.py (in_root.py): works the units.

Plain Python of the root: no package of ours.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request


def show(unit, *names):
    text = subprocess.run(
        ["systemctl", "show", unit, "-p", ",".join(names)], capture_output=True, text=True, check=False
    ).stdout
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def state(unit):
    return show(
        unit, "ActiveState", "SubState", "MainPID", "NRestarts", "Result", "ExecMainStatus", "StatusText"
    )


def until(what, seconds=30.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.25)
    return False


def systemctl(*arguments):
    run = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    return [run.returncode, run.stderr.strip()]


def frames(port=9642):
    with contextlib.suppress(OSError):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=3).read().decode()
        for line in text.splitlines():
            if line.startswith("sbcwatch_agent_frames_total "):
                return float(line.split()[1])
    return -1.0


def call():
    """SIP-looking datagrams over loopback, which is watched as any NIC."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for n in range(20):
            text = f"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\n\r\n"
            out.sendto(text.encode(), ("127.0.0.1", 5060))


def page(path):
    """Status, and what the pages of the store say there; -1 where nobody answers."""
    with contextlib.suppress(OSError):
        request = urllib.request.Request(f"http://127.0.0.1:9643{path}", headers={"Accept": "text/html"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return [answer.status, answer.read().decode()]
    return [-1, ""]


def pages():
    """The web unit beside the daemon's: started, asked, looked at, stopped."""
    unit = "sbcwatch-web.service"
    seen = {"start": systemctl("start", unit)}
    until(lambda: page("/healthz")[0] == 200)
    seen["answer"], seen["calls"] = page("/"), page("/calls?q=0110")
    seen["state"] = state(unit)
    pid = seen["state"]["MainPID"]
    seen["privileges"] = privileges(pid)
    seen["opened"] = opened(pid, "sbcwatch.sqlite")
    seen["write_etc"] = inside(pid, "echo x > /etc/sbcwatch/x")
    seen["read_home"] = inside(pid, "ls /root")
    with open("/proc/net/tcp") as file:
        seen["listening"] = [line.split()[1] for line in file if line.split()[3] == "0A"]
    seen["stop"] = systemctl("stop", unit)
    seen["stopped"] = state(unit)
    return seen


def opened(pid, name):
    """How a process has a file open: the access mode of each descriptor."""
    modes = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        if os.path.basename(os.readlink(f"/proc/{pid}/fd/{number}")) == name:
            with open(f"/proc/{pid}/fdinfo/{number}") as file:
                flags = next(line.split()[1] for line in file if line.startswith("flags:"))
            modes.append(int(flags, 8) & os.O_ACCMODE)
    return modes


def privileges(pid):
    wanted = ("Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    with open(f"/proc/{pid}/status") as file:
        lines = file.read().splitlines()
    return {line.split(":")[0]: line.split(":")[1].split() for line in lines if line.split(":")[0] in wanted}


def inside(pid, code):
    """Whether `code` may do in the unit's mount namespace, as its user, what it tries."""
    user = privileges(pid)["Uid"][0]
    run = subprocess.run(
        ["nsenter", "-t", str(pid), "-m", "setpriv", "--reuid", user, "--clear-groups", "sh", "-c", code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.returncode


def frozen(unit):
    pid = int(state(unit)["MainPID"])
    assert pid > 1, f"{unit} does not run: {state(unit)}"  # 0 would be ourselves
    os.kill(pid, signal.SIGSTOP)


def main(seen):
    seen["start"] = systemctl("start", "sbcwatch.service")
    seen["started"] = first = state("sbcwatch.service")
    pid = first["MainPID"]
    seen["privileges"] = privileges(pid)
    seen["files"] = sorted(os.listdir("/var/lib/private/sbcwatch"))
    seen["write_etc"] = inside(pid, "echo x > /etc/sbcwatch/x")
    seen["write_state"] = inside(pid, "echo x > /var/lib/sbcwatch/x && rm /var/lib/sbcwatch/x")
    seen["read_home"] = inside(pid, "ls /root")
    before = frames()
    call()
    until(lambda: frames() > before, 15)
    seen["frames"] = [before, frames()]
    seen["reload"] = systemctl("reload", "sbcwatch.service")
    time.sleep(1.5)
    seen["reloaded"] = state("sbcwatch.service")
    seen["healthcheck"] = subprocess.run(
        ["/opt/sbcwatch/bin/sbcwatch", "healthcheck"], check=False
    ).returncode

    seen["web"] = pages()

    began = time.monotonic()
    seen["stop"] = systemctl("stop", "sbcwatch.service")
    seen["stop_seconds"] = time.monotonic() - began
    seen["stopped"] = state("sbcwatch.service")

    # On to instances: the link that the single unit left is in their way, and nothing else is.
    seen["link"] = os.path.islink("/var/lib/sbcwatch")
    os.unlink("/var/lib/sbcwatch")

    # A bad configuration ends with 2 and is not tried again.
    systemctl("start", "--no-block", "sbcwatch@bad.service")
    until(lambda: state("sbcwatch@bad.service")["ActiveState"] == "failed")
    seen["bad"] = state("sbcwatch@bad.service")

    # An instance, frozen: the watchdog ends it and it comes back.
    seen["two"] = systemctl("start", "sbcwatch@two.service")
    frozen("sbcwatch@two.service")
    until(lambda: state("sbcwatch@two.service")["NRestarts"] == "1", 40)
    until(lambda: state("sbcwatch@two.service")["ActiveState"] == "active", 20)
    seen["thawed"] = state("sbcwatch@two.service")
    seen["instance_files"] = sorted(os.listdir("/var/lib/private/sbcwatch/two"))

    log = subprocess.run(
        ["journalctl", "-o", "json", "--no-pager", "-u", "sbcwatch*"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    entries = [json.loads(line) for line in log.splitlines()]
    seen["journal"] = [
        [one.get("_SYSTEMD_UNIT", one.get("UNIT", "")), one.get("PRIORITY"), one.get("MESSAGE")]
        for one in entries
    ]
