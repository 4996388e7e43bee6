from agent.media.rtp.clocks_cy cimport *
from agent.media.rtp.stream_table_cy cimport *

cdef enum:
    PACKET_MOST = 8  # so many of the longest packets make a second: RFC 7587 has 120 ms
    MAX_VOTES = 4
    CHECK_EVERY = 31  # a clock is looked at every 32 samples
    TIME_BASE_US = 1000000  # a timestamp that is off by more begins a new time base
    FEW_PACKETS = 4  # ... with a marker, one that is off by more packet times

cdef class Jitter(Clocks):
    cdef readonly bint adaptive
    cdef double buffer_us, least_us, most_us

    cdef int jitter(self, StreamRow row, MinuteRow minute, long long stamp_ns, long long ts, long long second, bint follows) except -1 nogil
    cdef inline int buffer(self, StreamRow row, MinuteRow minute, double excess_us) noexcept nogil
    cdef inline void vote(self, StreamRow row, long long step) noexcept nogil
