cimport cython
from agent.model.attempt_cy cimport Attempt

cdef extern from "stdbool.h":
    ctypedef bint flag "bool"  # a byte, and no int's four

@cython.final
@cython.no_gc
cdef class LegMediaTotals:
    cdef public dict lost, arrived, left, vc_lost, first_ns
    cdef public object histograms, heard

    cpdef object gap(self, long long ssrc, long long gaps, bint arrived)

@cython.final
@cython.no_gc
cdef class Dialog:
    cdef public bint confirmed, ended, both_left
    cdef public str bye_tag
    cdef public long long answer_ns
    cdef public object bye_ns

@cython.final
cdef class Leg:
    cdef public str call_id, from_tag, way, peer, from_user, to_user, uri_user, source, role, carrier
    cdef public tuple asserted, diverted, targets, others, asked, initial
    cdef public object side, connector, account, call
    cdef public tuple place
    cdef public Attempt attempt
    cdef public LegMediaTotals media_totals
    cdef public dict dialogs, reports, sdp, described
    cdef public set streams, sent
    cdef public object session_ns, final_ns, sources
    cdef public long long invite_ns, cseq, last_ns, carried, described_ns
    cdef public bint whole, joined, held, rung, recording, retagged

    cdef bint is_up(self) except -1
    cdef bint has_been_up(self) except -1
    cdef bint knows(self, str address) except -1
    cpdef Dialog dialog(self, str tag)
    cpdef str callee_tag(self, str from_tag, str to_tag)

cdef class Stream:
    cdef public int id
    cdef public unsigned int ssrc
    cdef public long long first_ns
    cdef public object src, dst, to_vc, measured_here, far_end_loss
    cdef public Leg leg
    cdef public dict codecs
    cdef public flag clean, attached, first, audio, named
    cdef public signed char trust

cpdef str codec_name(Stream stream, int payload_type)

@cython.final
cdef class CountedAttempt:
    cdef public Leg leg, decided_by
    cdef public list legs
    cdef public object direction, outcome
    cdef public bint answered

@cython.final
cdef class Call:
    cdef public list legs, accounts
    cdef public object answer_ns, ring_ns, end_ns, end_reason
    cdef public long long last_rtp_ns
    cdef public set flags
    cdef public dict rtt_us
    cdef public bint reported, released, completed
    cdef public bytes saved
    cdef public tuple who
    cdef public object claim, elected

    cpdef object adopt(self, Leg leg)
    cpdef object share_connector(self, Leg leg)
    cdef bint is_up(self)
    cpdef str carrier(self)
    cpdef Leg owner(self)
    cpdef list views(self)
    cdef long long last_sip_ns(self)
    cdef bint is_held(self)
    cdef Leg find_incoming(self)
    cdef Leg find_lead(self)
    cpdef bint check_over(self, long long now_ns) except -1
    cdef bint is_kept_by(self, list[Leg] counting) except -1
    cdef object check_silence(self, long long now_ns, long long call_timeout_ns, long long hold_timeout_ns, object missed)
