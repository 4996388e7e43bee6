cimport cython
from agent.media.rtp.stream_table_cy cimport MOST, SLOT_BYTES, SLOTS
from agent.media.rtp.timeline_cy cimport JITTER_UNIT_US
from agent.model.stream_minute_cy cimport StreamMinute

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
