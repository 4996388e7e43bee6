"""The local store: closed minutes, the checkpoint, and the rows that each sink still has to deliver.

A daemon does without the modules that only read it, `reader` and `call_query`.
"""

from agent.model.names import UNASSIGNED
from agent.store.gaps import Gap
from agent.store.outbox import Draft, Outbox, OutboxBatch, OutboxRow
from agent.store.store import ALL_CONNECTORS, KINDS, Store

__all__ = [
    "ALL_CONNECTORS",
    "KINDS",
    "UNASSIGNED",
    "Draft",
    "Gap",
    "Outbox",
    "OutboxBatch",
    "OutboxRow",
    "Store",
]
