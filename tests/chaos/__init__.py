"""Faults drawn from a seed, against a daemon that watches lab calls in simulated time.

    simtime   one clock for driver and daemon: how fast it runs, and where the host's wall clock stands
    feed      frames from the driver to the daemon: a socket instead of a NIC
    calls     lab captures as calls that can be placed again and again, each with its truth
    daemon    the daemon under test, in a process of its own that can be killed
    ledger    what was on the wire, and what no process can have counted
    driver    the faults
    judge     what the strict CloudWatch stored, held against the ledger

`python -m tests.chaos --kills 200 --seed 7`. All but the scheduling of processes follows from the seed.
"""
