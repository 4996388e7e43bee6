cimport cython
from agent.model.call_cy cimport Call
from agent.model.far_end_cy cimport AwayMinute
from agent.model.stream_minute_cy cimport StreamMinute
from agent.model.call_cy cimport Stream, codec_name

cdef int _OTHER, _AUDIO, _REDUNDANT, _REPAIR
cdef frozenset REPAIR_STREAMS
cdef dict _kinds
cdef int kind_of(str name) except -1
cpdef bint is_repair(Stream stream, StreamMinute stream_minute) except -1

@cython.final
cdef class Measure:
    cdef object rules
    cdef double default_rtt_us
    cdef dict scores, newest_scores
    cdef int kept
    cdef str name
    cdef long long rate, ticks
    cpdef StreamMinute minute(self, Stream stream, StreamMinute stream_minute, AwayMinute away)
    cdef object mixed(self, Stream stream, StreamMinute stream_minute, long long rate, long long ticks, double ratio, long long bad)
    cdef object score(self, Stream stream, str name, long long rate, long long ticks, double ratio, double bursts)
