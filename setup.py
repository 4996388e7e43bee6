"""Build the `*_cy.py` files with Cython where that works, and go on without where it does not.

SBCWATCH_REQUIRE_COMPILED=1   any build error is fatal
SBCWATCH_NO_COMPILED=1        compile nothing

All modules are compiled, or none is. An sdist carries the C that Cython wrote: there a C compiler is enough.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

REQUIRED = os.environ.get("SBCWATCH_REQUIRE_COMPILED") == "1"
FORBIDDEN = os.environ.get("SBCWATCH_NO_COMPILED") == "1"
# Commands that only describe the sources: nothing is translated for them.
DESCRIBES = {"egg_info", "dist_info"}
CYTHON = "Cython==3.3.1"  # 3.2 is the first with a shared module; requirements/build.txt has its hash
# What every module needs of Cython itself (memoryviews above all), compiled once.
SHARED = Path("agent/shared_cy.c")
# Modules that walk bytes carry this line. The others call Python's objects most of the time: optimizing them
# harder makes none faster and takes gcc twice as long.
FAST = "# optimize: -O3\n"
# ... and there what is said to be inline is, however long the caller gets: without these gcc stops at some
# length, and a packet pays for calls.
FASTER = [
    "-O3",
    "--param=max-inline-insns-single=4000",
    "--param=large-function-growth=1000",
    "--param=inline-unit-growth=200",
    "--param=large-stack-frame-growth=4000",
]
# No fused multiply-add: compiled and uncompiled must give the same doubles on every processor.
# Where Cython compares any object with a number, gcc warns of what would be if None were one.
# No debugging information: it is four fifths of a module, and of the image's room for them.
FLAGS = [
    "-O1",
    "-g0",
    "-ffp-contract=off",
    "-Wno-sign-compare",
    "-Wno-array-bounds",
    "-Wno-stringop-overread",
]
DIRECTIVES = {
    "show_performance_hints": False,
    "emit_code_comments": False,  # the sources lie beside the C
    "auto_pickle": False,  # checkpoints name the fields themselves, and nothing else is pickled
}
JOBS = os.cpu_count() or 1


def sources() -> list[Path]:
    return sorted(Path("agent").glob("**/*_cy.py"))


def shipped() -> bool:
    """Whether this is an unpacked sdist with all its C: beside a work tree's sources old C may lie."""
    written = [path.with_suffix(".c") for path in [*sources(), SHARED]]
    return all(path.exists() for path in [Path("PKG-INFO"), *written])


def dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def flags(source: Path) -> list[str]:
    with source.open(encoding="utf-8") as lines:
        head = [next(lines, "") for _ in range(4)]
    return [*FLAGS, *FASTER] if FAST in head else FLAGS


def extensions() -> list[Extension]:
    """One extension a `*_cy.py`, and what they share. Empty, with a warning, where there is no C of them."""
    if FORBIDDEN or DESCRIBES.intersection(sys.argv):
        return []
    kind = ".c" if shipped() else ".py"
    modules = [
        Extension(dotted(path), [str(path.with_suffix(kind))], extra_compile_args=flags(path))
        for path in sources()
    ]
    modules.append(Extension(dotted(SHARED), [str(SHARED)], extra_compile_args=FLAGS))
    if not shipped():
        try:
            modules = translated(modules)
        except Exception as error:  # Cython absent, or too old for the sources
            uncompiled(error)
            return []
    # The largest first, so that no processor waits long for the last one.
    return sorted(modules, key=lambda module: Path(module.sources[0]).stat().st_size, reverse=True)


def translated(modules: list[Extension]) -> list[Extension]:
    """The same modules with C for sources."""
    from Cython.Build import cythonize

    say(f"translating {len(modules)} modules to C")
    return list(
        cythonize(
            modules,
            compiler_directives=DIRECTIVES,
            shared_utility_qualified_name=dotted(SHARED),
            nthreads=JOBS,
            quiet=True,
        )
    )


def say(line: str) -> None:
    print(f"sbcwatch: {line}", file=sys.stderr, flush=True)


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

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or JOBS

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            self.leave(error)

    def build_extensions(self) -> None:
        say(f"compiling {len(self.extensions)} modules, {self.parallel} at a time")
        self.numbers = count(1)
        try:
            super().build_extensions()
        except Exception as error:
            self.leave(error)

    def build_extension(self, extension: Extension) -> None:
        super().build_extension(extension)
        say(f"{next(self.numbers)} of {len(self.extensions)}: {extension.name}")

    def leave(self, error: Exception) -> None:
        """No extension rather than some: a compiled module cannot share C state with an uncompiled one."""
        uncompiled(error)
        for extension in self.extensions:
            Path(self.build_lib, self.get_ext_filename(self.get_ext_fullname(extension.name))).unlink(
                missing_ok=True
            )
        self.extensions = []


# Worker processes may read this file again.
if __name__ == "__main__":
    setup(
        ext_modules=extensions(),
        cmdclass={"build_ext": BuildOrGoOn},
        # Asked for by a build that will translate, and by no other.
        setup_requires=[CYTHON] if "egg_info" in sys.argv and not (FORBIDDEN or shipped()) else [],
    )
