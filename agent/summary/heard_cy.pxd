cimport cython
from agent.tracking.minute_cy cimport ReportsMinute, StreamMinute

@cython.final
cdef class CallMinute:
    cdef public object call, vc_lost
    cdef public list streams, reports, rtts, far_ends

    cpdef object lose(self)
    cdef long long added(self, object leg, long long ssrc, long long gaps) except *

cpdef CallMinute of_call(dict calls, object call)
