"""Take out of an installation what the daemon never reads: `python3 trim.py PREFIX`. Prints what it freed.

botocore carries the models of 400 services, of which cloudwatch and logs are used, and sts and the sso pair by
credential providers; pip and setuptools install nothing any more.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

SERVICES = {"cloudwatch", "logs", "sts", "sso", "sso-oidc", "signin"}
UNUSED = ("pip", "setuptools", "pip-*.dist-info", "setuptools-*.dist-info", "_distutils_hack", "distutils-precedence.pth")


def trim(site: Path) -> int:
    """Bytes freed below one site-packages."""
    before = size(site)
    for path in (site / "botocore/data").glob("*/"):
        if path.name not in SERVICES:
            shutil.rmtree(path)
    # scapy's exotic layers and its tools are imported by nobody here; boto3's resources and examples neither.
    for pattern in (*UNUSED, "boto3/data/*", "boto3/examples", "botocore/cacert.pem.bak", "**/__pycache__", "**/tests"):
        for path in list(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return before - size(site)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    for site in Path(sys.argv[1]).glob("lib/python3*/site-packages"):
        freed = trim(site)
        print(f"{site}: {freed / 1e6:.1f} MB freed, {size(site) / 1e6:.1f} MB left")


main()
