"""Images built by buildah from a local base, run by crun as a sidecar is: no registry and no engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.machine import ROOT

# What slim images leave out, so that sizes compare.
FAT = (
    "var/cache/apt/*", "var/lib/apt/lists/*", "usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*",
    "usr/share/info/*", "var/log/*.log",
)  # fmt: skip
NOT_IN_IMAGES = ("systemd-sysv", "systemd", "dbus", "iproute2", "python3-venv")
# crun refuses a machine with both versions of cgroups, though we ask for none: it must not see the second.
CRUN = (
    "unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun "$@"', "crun",
)  # fmt: skip
# The host's trust, name servers and local package folders, so that a build sees what a shell here sees.
LENT = ("/etc/ssl/certs", "/etc/resolv.conf", "/opt/wheels", "/etc/pip.conf")

IMAGE = "localhost/sbcwatch"


@dataclass(frozen=True)
class Start:
    """What `docker run` is told. By itself: the image's command, a new volume for state, NET_RAW alone."""

    arguments: Sequence[str] = ()  # () is the image's
    environment: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)  # bind mounts, by the path in the container
    entrypoint: Sequence[str] = ()  # () is the image's
    user: str = ""  # "" is the image's
    capabilities: Sequence[str] = ("NET_RAW",)
    no_new_privileges: bool = False


class Images:
    """A store of its own below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._where = [
            "--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", "overlay",
        ]  # fmt: skip

    def run(self, *arguments: str, timeout: float = 300) -> str:
        run = subprocess.run(
            ["buildah", *self._where, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if run.returncode:
            raise RuntimeError(f"buildah {arguments[0]}: {run.stdout[-3000:]}\n{run.stderr[-2000:]}")
        return run.stdout.strip()

    def base(self, kept: Path, name: str) -> None:
        """A slim image of a debootstrap root."""
        container = self.run("from", "scratch")
        root = Path(self.run("mount", container))
        subprocess.run(["cp", "-a", f"{kept}/.", str(root)], check=True)
        subprocess.run(
            ["chroot", str(root), "apt-get", "purge", "-y", "-qq", "--auto-remove", *NOT_IN_IMAGES],
            check=True, capture_output=True,
        )  # fmt: skip
        for path in [path for pattern in FAT for path in root.glob(pattern)] + list(
            root.rglob("__pycache__")
        ):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        self.run("umount", container)
        self.run("commit", "-q", container, name)
        self.run("rm", container)

    def build(self, base: str, name: str, *more: str) -> str:
        lent = [word for path in LENT if Path(path).exists() for word in ("-v", f"{path}:{path}:ro")]
        return self.run(
            "bud", "--format", "docker", "--isolation", "chroot", "--network", "host", "--layers",
            "--build-arg", f"BASE={base}", *lent, "-t", name, *more, str(ROOT),
            timeout=1_500,
        )  # fmt: skip

    def config(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("inspect", "--type", "image", name))["Docker"]["config"]
        return found

    def size(self, name: str) -> int:
        """Bytes of all layers, unpacked. buildah itself prints three digits of them."""
        images = json.loads((self.folder / "store/overlay-images/images.json").read_text())
        listed = json.loads((self.folder / "store/overlay-layers/layers.json").read_text())
        layers = {one["id"]: one for one in listed}
        (layer,) = {one["layer"] for one in images if f"{name}:latest" in one.get("names", ())}
        size = 0
        while layer:
            size += layers[layer].get("diff-size", 0)
            layer = layers[layer].get("parent", "")
        return size

    @contextmanager
    def started(self, image: str, network: str, start: Start) -> Iterator[Container]:
        """A container in the network namespace `network`."""
        working = self.run("from", "--pull-never", image)
        try:
            bundle = self.folder / "bundle"
            bundle.mkdir(exist_ok=True)
            config = runtime_config(self.config(image), Path(self.run("mount", working)), network, start)
            (bundle / "config.json").write_text(json.dumps(config))
            with (bundle / "log").open("w") as log:
                process = subprocess.Popen(
                    [*CRUN, "--cgroup-manager=disabled", "run", "--bundle", str(bundle), Container.name],
                    stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                )  # fmt: skip
            try:
                yield Container(process, bundle / "log", config["process"]["user"])
            finally:
                subprocess.run([*CRUN, "delete", "--force", Container.name], capture_output=True, check=False)
                process.wait(20)
        finally:
            self.run("rm", working)

    def remove(self) -> None:
        subprocess.run(["buildah", *self._where, "rmi", "--all", "--force"], capture_output=True, check=False)
        subprocess.run(["umount", str(self.folder / "store/overlay")], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def namespace(name: str) -> Iterator[str]:
    """A network namespace with its loopback up."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


class Container:
    name = "sbcwatch-test"

    def __init__(self, process: subprocess.Popen[bytes], log: Path, user: Mapping[str, int]) -> None:
        self.process = process
        self._log = log
        self._user = f"{user['uid']}:{user['gid']}"

    @property
    def log(self) -> str:
        return self._log.read_text()

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command as the container's user, as Docker and a kubelet run it: crun by itself takes root."""
        return subprocess.run(
            [*CRUN, "exec", "--user", self._user, self.name, *command],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    def wait_until_healthy(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while self.execute("sbcwatch", "healthcheck").returncode:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.5)

    def kill(self, signal: str) -> None:
        subprocess.run([*CRUN, "kill", self.name, signal], check=True)


def runtime_config(image: Mapping[str, Any], root: Path, network: str, start: Start) -> dict[str, Any]:
    """An OCI runtime configuration as Docker makes it: what a user other than root has of the capabilities
    is in the bounding set and nowhere else; the root is read-only.
    """
    uid, gid = map(int, (start.user or image["User"]).split(":"))
    given = [f"CAP_{name}" for name in start.capabilities]
    env = dict(one.split("=", 1) for one in image["Env"]) | dict(start.environment)
    env["PATH"] = env["PATH"].replace("$PATH", "/usr/bin:/bin")
    state = {
        "destination": "/var/lib/sbcwatch",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["size=64m", f"uid={uid}", "mode=700"],
    }
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": [*(start.entrypoint or image["Entrypoint"]), *(start.arguments or image["Cmd"])],
            "env": [f"{name}={value}" for name, value in env.items()],
            "cwd": "/",
            "user": {"uid": uid, "gid": gid},
            "noNewPrivileges": start.no_new_privileges,
            "capabilities": dict.fromkeys(
                ("bounding",) if uid else ("bounding", "permitted", "effective"), given
            ),
        },
        "root": {"path": str(root), "readonly": True},
        "hostname": "sidecar",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            state,
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            *(
                {"destination": inside, "type": "bind", "source": str(folder), "options": ["bind"]}
                for inside, folder in start.folders.items()
            ),
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"},
                {"type": "mount"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "network", "path": f"/run/netns/{network}"},
            ]
        },
    }
