cimport cython
from agent.tracking.minute_cy cimport StreamMinute
from agent.tracking.stream_cy cimport Stream

@cython.final
cdef class Measure:
    cdef object loop
    cdef object rules
    cdef dict scores
    cpdef StreamMinute minute(self, Stream stream, long long minute_ns, object counters, object away)
    cdef object score(self, Stream stream, str name, long long rate, long long ticks, double ratio, double bursts)
