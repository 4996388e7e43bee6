from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.container import IMAGE, Images
from tests.deploy.machine import base, needs


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
