from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import packages
from tests.deploy.container import IMAGE, Images
from tests.deploy.machine import base, needs

BUILD_S = 1_800  # an image compiles the loop anew: minutes, and many where the machine has others to serve


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test of the image comes first waits for it to be built."""
    for item in items:
        if item.get_closest_marker("image"):
            item.add_marker(pytest.mark.timeout(BUILD_S))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """A store with the image built in it, once for all that run it."""
    needs("buildah", "crun", "ip")
    kept = base()
    made = Images(tmp_path_factory.mktemp("images"))
    try:
        made.base(kept, "localhost/base")
        made.build("localhost/base", IMAGE)
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Debian root without Python, for a package of ours."""
    with packages.root_without_python(tmp_path_factory.mktemp("clean")) as root:
        yield root
