cimport cython

@cython.final
@cython.no_gc
cdef class AwayMinute:
    cdef public object lost
    cdef public long long expected, blocks
    cdef public double jitter_ticks
    cdef public list slots

    cpdef object note_slot(self, int number, long long lost, long long ticks)
    cpdef object jitter_us(self, long long clock_rate)
