"""Take out of an installation what the daemon never reads: `python3 trim.py PREFIX`. Prints what it freed.

botocore carries the models of 400 services: cloudwatch, logs and s3 are used, sts and the sso pair by
credential providers. pip and setuptools install nothing any more.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

SERVICES = {"cloudwatch", "logs", "s3", "sts", "sso", "sso-oidc", "signin"}
UNUSED = (
    "pip",
    "setuptools",
    "pip-*.dist-info",
    "setuptools-*.dist-info",
    "_distutils_hack",
    "pkg_resources",
    "distutils-precedence.pth",
)
# scapy's contributed protocols; boto3's resource layer; tables of words for colouring source code.
NEVER_IMPORTED = (
    "scapy/contrib",
    "boto3/data/*",
    "boto3/examples",
    "pygments/lexers/[a-z]*",
    "pygments/lexers/_*_builtins.py",
)


def trim(site: Path) -> int:
    """Bytes freed below one site-packages."""
    before = size(site)
    for path in (site / "botocore/data").glob("*/"):
        if path.name not in SERVICES:
            shutil.rmtree(path)
    for pattern in (*UNUSED, *NEVER_IMPORTED, "**/__pycache__"):
        for path in list(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return before - size(site)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    for site in Path(sys.argv[1]).glob("lib*/python3*/*-packages"):
        freed = trim(site)
        print(f"{site}: {freed / 1e6:.1f} MB freed, {size(site) / 1e6:.1f} MB left")


if __name__ == "__main__":
    main()
