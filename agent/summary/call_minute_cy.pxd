cimport cython
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg
from agent.model.call_cy cimport LegMediaTotals
from agent.model.stream_minute_cy cimport ReportsMinute, StreamMinute

@cython.final
@cython.no_gc
cdef class CallMinute:
    cdef public Call call
    cdef public object vc_lost
    cdef public list streams, reports, rtts, far_ends, flagged

    cpdef object lose(self)
    cdef long long added(self, Leg leg, long long ssrc, long long gaps) except *

cpdef CallMinute of_call(dict calls, Call call)
