"""A Debian or RPM package of a wheel: `make deb`, `make rpm`.

The package brings the Python that runs this, so that the host's own may be older or newer, and nothing that
is called like our modules meets them: /opt/sbcwatch/python is whole and looks nowhere else (`-I`). It needs
the libraries that this Python links to, and a C library that has the symbols which they were built against.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

TREE = Path(__file__).parent.parent
DIST = TREE / "dist"
PREFIX = Path("opt/sbcwatch")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
DOC = Path("usr/share/doc/sbcwatch")
CONFIG = "/etc/sbcwatch/sbcwatch.toml"
# What of the standard library nobody here imports; config-* is for those who build extensions.
LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip",
    "lib2to3", "config-*", "__pycache__", "*.a", "EXTERNALLY-MANAGED", "sitecustomize.py",
    # Modules that would want libraries of the host's: X, Kerberos, a terminal, databases.
    "_tkinter*", "nis.*", "readline.*", "_curses*", "_dbm.*", "_gdbm.*",
)  # fmt: skip
# Where this Python is a shared library, its launcher says where it lies: an rpath would be the builder's.
FIND = (
    f"export LD_LIBRARY_PATH=/{PREFIX}/python/lib\n" if sysconfig.get_config_var("Py_ENABLE_SHARED") else ""
)
# -I: no environment, no working directory, no user's packages; -B: writes nothing; -u: logs at once.
LAUNCHER = f"""#!/bin/sh
{FIND}exec /{PREFIX}/python/bin/{PYTHON} -I -B -u -m agent "$@"
"""
SUMMARY = "CloudWatch metrics, per-call media records and SIP logs for any SBC"
POSTINST = """#!/bin/sh
set -e
# Not enabled by itself: who is a customer has to be said first. An upgrade goes on in the new version.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
    systemctl try-restart sbcwatch.service 'sbcwatch@*.service' || true
fi
"""
PRERM = """#!/bin/sh
set -e
case "$1" in
remove | 0)
    if [ -d /run/systemd/system ]; then
        systemctl disable --now sbcwatch.service || true
        systemctl stop 'sbcwatch@*.service' || true
    fi
    ;;
esac
"""
POSTRM = """#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
# Minutes that were not delivered, and the key of endpoint ids: gone only with `purge`.
[ "$1" != purge ] || rm -rf /var/lib/private/sbcwatch /var/lib/sbcwatch
"""


def main() -> None:
    kind = sys.argv[1]
    (wheel,) = sorted(DIST.glob("sbcwatch-*.whl"), key=lambda path: path.stat().st_mtime)[-1:]
    version = wheel.name.split("-")[1]
    root = TREE / "build" / kind
    shutil.rmtree(root, ignore_errors=True)
    stage(root, wheel)
    print({"deb": debian, "rpm": rpm}[kind](root, version))


def stage(root: Path, wheel: Path) -> None:
    """Lay out below `root` all that an installation has."""
    runtime = root / PREFIX / "python"
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library, runtime / sys.platlibdir / PYTHON, ignore=LEFT_OUT, symlinks=True)
    for folder in ("bin", "lib"):  # Red Hat's modules lie in lib64
        (runtime / folder).mkdir(exist_ok=True)
    shutil.copy(Path(sys.executable).resolve(), runtime / "bin" / PYTHON)
    for shared in Path(sysconfig.get_config_var("LIBDIR") or "/nonexistent").glob(f"lib{PYTHON}.so*"):
        if sysconfig.get_config_var("Py_ENABLE_SHARED"):
            shutil.copy(shared, runtime / "lib" / shared.name, follow_symlinks=False)
    packages = Path(asked(runtime, "-c", "import site; print(site.getsitepackages()[-1])"))
    install(packages, "--require-hashes", "-r", str(TREE / "requirements/runtime.txt"))
    install(packages, "--no-deps", str(wheel))
    shutil.rmtree(packages / "bin")  # scripts that name the builder's interpreter; ours is the launcher
    shared_files = packages / "share"  # a wheel's data files
    subprocess.run([sys.executable, TREE / "deploy/trim.py", runtime], check=True, stdout=subprocess.DEVNULL)
    asked(runtime, "-m", "agent", "--version")  # a package that does not run is not made
    put(root / PREFIX / "bin/sbcwatch", LAUNCHER, 0o755)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/sbcwatch").symlink_to(f"/{PREFIX}/bin/sbcwatch")
    for unit in (shared_files / "sbcwatch/systemd").glob("*.service"):
        put(root / "lib/systemd/system" / unit.name, unit.read_text())
    put(root / CONFIG[1:], (shared_files / "sbcwatch/sbcwatch.toml").read_text(), 0o644)
    pages = shared_files / "doc/sbcwatch"
    for page in pages.rglob("*.md"):
        put(root / DOC / page.relative_to(pages), page.read_text())
    put(root / DOC / "copyright", (TREE / "LICENSE").read_text())
    for page in TREE.glob("docs/*.1"):
        packed = root / "usr/share/man/man1" / f"{page.name}.gz"
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(gzip.compress(page.read_bytes(), mtime=0))
    shutil.rmtree(shared_files)
    # Compiled once, by content: a host that may write nowhere starts as fast.
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash",
         "-s", str(root), "-p", "/", str(runtime)],
        check=True,
    )  # fmt: skip


def asked(runtime: Path, *arguments: str) -> str:
    """What the packed Python says. It knows best where it looks for packages: Debian's has another folder."""
    return subprocess.run(
        [runtime / "bin" / PYTHON, "-I", "-B", *arguments],
        env={"LD_LIBRARY_PATH": str(runtime / "lib")}, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


def install(packages: Path, *what: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(packages)]
    subprocess.run([*command, "--upgrade", "--disable-pip-version-check", *what], check=True)


def put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def linked(root: Path) -> list[str]:
    """Files of this system that the programs and modules below `root` link to."""
    found: set[str] = set()
    for path in [*root.rglob("*.so*"), *(root / PREFIX / "python/bin").iterdir()]:
        if path.is_file() and not path.is_symlink():
            told = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
            found |= set(re.findall(r"=> (/\S+)", told))
    ours = str(root), f"{sys.base_prefix}/lib/libpython"
    return sorted(name for name in found if not name.startswith(ours))


def debian(root: Path, version: str) -> Path:
    """A .deb by dpkg-deb."""
    architecture = output("dpkg", "--print-architecture")
    size = sum(path.lstat().st_size for path in root.rglob("*")) // 1024
    fields = {
        "Package": "sbcwatch", "Version": version, "Architecture": architecture, "Section": "net",
        "Priority": "optional", "Maintainer": "sbcwatch <sbcwatch@localhost>", "Installed-Size": str(size),
        "Depends": ", ".join(depends(root)), "Recommends": "libseccomp2, ca-certificates",
        "Suggests": "tshark",
        "Description": f"{SUMMARY}\n It watches an SBC's NICs and brings its own Python.",
    }  # fmt: skip
    control = root / "DEBIAN"
    put(control / "control", "".join(f"{name}: {value}\n" for name, value in fields.items()))
    put(control / "conffiles", f"{CONFIG}\n")
    put(control / "md5sums", "".join(checksums(root)))
    for name, text in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
        put(control / name, text, 0o755)
    made = DIST / f"sbcwatch_{version}_{architecture}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(made)], check=True)
    return made


def depends(root: Path) -> list[str]:
    """Debian packages that have the libraries, the C library from this version on."""
    names = set()
    for path in linked(root):
        for known_as in (path.removeprefix("/usr"), path, os.path.realpath(path)):
            owner = subprocess.run(["dpkg", "-S", known_as], capture_output=True, text=True, check=False)
            if owner.stdout:
                names.add(owner.stdout.partition(":")[0])
                break
    libc = ".".join(map(str, glibc_floor(root)))
    return [f"libc6 (>= {libc})" if name == "libc6" else name for name in sorted(names | {"libc6"})]


def glibc_floor(root: Path) -> tuple[int, int]:
    """The oldest C library that has every symbol which the programs and modules below `root` ask it for."""
    floor = (2, 0)
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if data.startswith(b"\x7fELF"):
            asked = re.findall(rb"\0GLIBC_(\d+)\.(\d+)", data)
            floor = max([floor, *((int(major), int(minor)) for major, minor in asked)])
    return floor


def checksums(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_file() and not path.is_symlink() and name.parts[0] != "DEBIAN":
            yield f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {name}\n"


def rpm(root: Path, version: str) -> Path:
    """An .rpm by rpmbuild: what it needs are the libraries' names, as rpm finds them itself."""
    top = TREE / "build/rpmbuild"
    spec = f"""Name: sbcwatch
Version: {version}
Release: 1
Summary: {SUMMARY}
License: Apache-2.0 OR GPL-2.0-or-later
AutoProv: no
%global __requires_exclude (python|/usr/bin/env)
%global _build_id_links none
%global __os_install_post %{{nil}}
%description
It watches an SBC's NICs and brings its own Python.
%install
cp -a {root}/. %{{buildroot}}/
mkdir -p %{{buildroot}}/usr/lib
mv %{{buildroot}}/lib/systemd %{{buildroot}}/usr/lib/
rmdir %{{buildroot}}/lib
%files
/opt/sbcwatch
/usr/bin/sbcwatch
/usr/lib/systemd/system/*
/usr/share/doc/sbcwatch
/usr/share/man/man1/*
%dir /etc/sbcwatch
%config(noreplace) {CONFIG}
%post
{POSTINST.partition(chr(10))[2]}
%preun
{PRERM.partition(chr(10))[2]}
%postun
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
"""
    shutil.rmtree(top, ignore_errors=True)  # an older version lies there
    put(top / "sbcwatch.spec", spec)
    subprocess.run(
        ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", str(top / "sbcwatch.spec")], check=True
    )
    (built,) = top.glob("RPMS/*/*.rpm")
    made = DIST / built.name
    shutil.copy(built, made)
    return made


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
