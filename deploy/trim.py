"""Take out of an installation what the daemon never reads: `python3 trim.py PREFIX`. Prints what it freed.

botocore carries the models of 400 services: cloudwatch, logs and s3 are used, sts and the sso pair by
credential providers. pip and setuptools install nothing any more.
"""

from __future__ import annotations

import gzip
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
NEVER_READ = (
    "scapy/contrib",  # contributed protocols
    "boto3/data/*",  # its resource layer
    "boto3/examples",
    "botocore/data/*/*/examples-1.json",
    "pygments/lexers/[a-z]*",  # tables of words for colouring source code
    "pygments/lexers/_*_builtins.py",
    *(f"redis/commands/{module}" for module in ("bf", "json", "search", "timeseries", "vectorset")),
    "textual/demo",
    "textual/tree-sitter",
    "*.dist-info/sboms",  # `make sbom` writes ours
    "*.dist-info/RECORD",  # read to uninstall
    "dateutil/zoneinfo/*.tar.gz",  # time zones for systems without any: all times here are UTC
    "phonenumbers/shortdata/region_*.py",  # short numbers, as 110
    "**/*.pyi",  # read by type checkers alone
)
PACKED = "botocore/data/endpoints.json"  # botocore reads it packed as well, like its models


def trim(site: Path) -> int:
    """Bytes freed below one site-packages."""
    before = size(site)
    for path in (site / "botocore/data").glob("*/"):
        if path.name not in SERVICES:
            shutil.rmtree(path)
    for pattern in (*UNUSED, *NEVER_READ, "**/__pycache__"):
        for path in list(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in site.glob(PACKED):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    return before - size(site)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    for site in Path(sys.argv[1]).glob("lib*/python3*/*-packages"):
        freed = trim(site)
        print(f"{site}: {freed / 1e6:.1f} MB freed, {size(site) / 1e6:.1f} MB left")


if __name__ == "__main__":
    main()
