cimport cython
from agent.tracking.ledger_cy cimport Ledger
from agent.tracking.transaction_cy cimport Attempt

@cython.final
@cython.no_gc
cdef class Dialog:
    cdef public bint confirmed, ended
    cdef public long long answer_ns
    cdef public object bye_ns

@cython.final
cdef class Leg:
    cdef public str call_id, from_tag, way, peer, from_user, to_user, uri_user
    cdef public object side, connector, account, call
    cdef public tuple place
    cdef public Attempt attempt
    cdef public Ledger ledger
    cdef public dict dialogs, reports, sdp, described
    cdef public set streams, sent
    cdef public object session_ns, final_ns
    cdef public long long invite_ns, cseq, last_ns, carried, described_ns
    cdef public bint whole, joined, held, rung

    cdef bint is_up(self) except -1
    cdef bint has_been_up(self) except -1
    cpdef Dialog dialog(self, str tag)
    cpdef str callee_tag(self, str from_tag, str to_tag)
