cimport cython
from agent.tracking.minute_cy cimport StreamMinute

@cython.final
cdef class Measure:
    cdef object loop
    cdef object rules
    cdef dict scores
    cpdef StreamMinute minute(self, object stream, long long minute_ns, object counters, object away)
    cdef object score(self, object stream, str name, long long rate, long long ticks, double ratio, double bursts)
