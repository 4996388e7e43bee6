"""The local store: closed minutes, the checkpoint, and the rows that each sink still has to deliver."""

from agent.model.names import UNASSIGNED
from agent.store.call_query import CallQuery
from agent.store.gaps import Gap
from agent.store.outbox import Draft, Outbox, OutboxBatch, OutboxRow
from agent.store.reader import StoreReader
from agent.store.store import ALL_CONNECTORS, KINDS, Store

__all__ = [
    "ALL_CONNECTORS",
    "KINDS",
    "UNASSIGNED",
    "CallQuery",
    "Draft",
    "Gap",
    "Outbox",
    "OutboxBatch",
    "OutboxRow",
    "Store",
    "StoreReader",
]
