"""Build the `*_cy.py` files with Cython where that works, and go on without where it does not.

SBCWATCH_REQUIRE_COMPILED=1   any build error is fatal
SBCWATCH_NO_COMPILED=1        compile nothing
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

REQUIRED = os.environ.get("SBCWATCH_REQUIRE_COMPILED") == "1"
FORBIDDEN = os.environ.get("SBCWATCH_NO_COMPILED") == "1"
# Commands that only describe or pack sources: nothing is translated for them, and no .c gets into an sdist.
DESCRIBES = {"sdist", "egg_info", "dist_info"}
# No fused multiply-add: compiled and uncompiled must give the same doubles on every processor.
# Where Cython compares any object with a number, gcc warns of what would be if None were one.
# No debugging information: it is four fifths of a module, and of the image's room for them.
FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-Wno-sign-compare", "-Wno-array-bounds"]


def sources() -> list[str]:
    return sorted(path.as_posix() for path in Path("agent").glob("**/*_cy.py"))


def extensions() -> list[Extension]:
    """One extension a `*_cy.py`. Empty, with a warning, where Cython cannot translate them."""
    if FORBIDDEN or DESCRIBES.intersection(sys.argv):
        return []
    names = {path: path.removesuffix(".py").replace("/", ".") for path in sources()}
    try:
        from Cython.Build import cythonize

        return list(
            cythonize(
                [Extension(name, [path], extra_compile_args=FLAGS) for path, name in names.items()],
                compiler_directives={"show_performance_hints": False},
            )
        )
    except Exception as error:  # Cython absent, or too old for the sources
        uncompiled(error)
        return []


def uncompiled(error: BaseException) -> None:
    if REQUIRED:
        raise SystemExit(f"sbcwatch: SBCWATCH_REQUIRE_COMPILED=1, and the build failed: {error!r}") from error
    for older in Path("agent").glob("**/*_cy.*.so"):  # beside its source it would run old code
        older.unlink()
    line = "*" * 78
    print(
        f"{line}\n"
        f"sbcwatch: the RTP loop was NOT compiled: {error!r}\n"
        "It runs uncompiled: correct, but hundreds of times slower. Install a C compiler and the Python\n"
        "headers (Debian: gcc python3-dev) and reinstall; SBCWATCH_REQUIRE_COMPILED=1 makes this an error.\n"
        f"{line}",
        file=sys.stderr,
    )


class BuildOrGoOn(build_ext):
    """`Extension(optional=True)` survives a failed compile but not a missing compiler; this survives both."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            self.leave(error)

    def build_extensions(self) -> None:
        try:
            super().build_extensions()
        except Exception as error:
            self.leave(error)

    def leave(self, error: Exception) -> None:
        """No extension rather than some: a compiled module cannot share C state with an uncompiled one."""
        uncompiled(error)
        for extension in self.extensions:
            Path(self.build_lib, self.get_ext_filename(self.get_ext_fullname(extension.name))).unlink(
                missing_ok=True
            )
        self.extensions = []


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOrGoOn})
