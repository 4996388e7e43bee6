cimport cython
from agent.tracking.dialog_cy cimport Leg

@cython.final
cdef class Account:
    cdef public Leg leg, decided_by
    cdef public list legs
    cdef public object direction, outcome
    cdef public bint answered

@cython.final
cdef class Call:
    cdef public list legs, accounts
    cdef public object answer_ns, end_ns, end_reason
    cdef public long long last_rtp_ns
    cdef public set flags
    cdef public dict rtt_us
    cdef public bint reported, released
    cdef public bytes saved
    cdef public tuple who

    cpdef object adopt(self, Leg leg)
    cpdef object share_connector(self, Leg leg)
    cdef bint is_up(self)
    cpdef list views(self)
    cdef long long last_sip_ns(self)
    cdef bint is_held(self)
    cdef Leg find_incoming(self)
    cdef Leg find_lead(self)
    cpdef bint check_over(self, long long now_ns) except -1
    cdef bint _has_left(self, str way) except -1
    cdef object check_silence(self, long long now_ns, long long call_timeout_ns, long long hold_timeout_ns)
