cimport cython
from agent.model.stream_minute_cy cimport StreamMinute

cdef enum:
    SLOTS = 6
    SLOT_BYTES = 10
    MOST = 65535
    JITTER_UNIT_US = 10

@cython.final
@cython.no_gc
cdef class Timeline:
    cdef bytes octets
    cdef list reported
    cdef bint measured, audio
    cdef int watched
    cdef long long clock_rate
    cdef Timeline other

    cpdef list slots(self)
    cdef object slot(self, int number)

cpdef Timeline timeline(list[StreamMinute] streams, int watched)
cdef long long ticks_us(long long ticks, long long clock_rate) except -2
cdef long long word(bytes octets, long long at) except -1
