cimport cython
from agent.model.stream_minute_cy cimport StreamMinute

cdef enum:
    SLOTS = 6
    SLOT_BYTES = 10
    MOST = 65535
    JITTER_UNIT_US = 10

cpdef object timeline(list[StreamMinute] streams, int watched)
cdef object merged(list[StreamMinute] streams, int number)
cdef long long word(bytes octets, long long at) except -1
