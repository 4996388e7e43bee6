"""Fuzz harnesses (atheris). Each module's first lines state what must hold for any bytes.

    python -m tests.fuzz.rtcp -runs=100000 [corpus directories and other libFuzzer options]

Seeds are in `corpus/`: `torture-*` and the named ones are written by hand (after RFC 4475 and the RFCs' own
examples), `lab-*` were captured from baresip, sipp and Kamailio in the lab. What a run adds goes to a
temporary directory.
"""

import agent  # noqa: F401 its finder of sources first: atheris instruments what finders behind its own find
