cimport cython
from agent.media.rtp.stream_table_cy cimport MASK32, MASK64

cdef enum:
    # Of an entry: address, high and low half; port + 1 and admissions left; types 64 to 95 and peer.
    FIELDS = 4
    FIRST = 8192  # slots at first, of which half may be used: a quarter of a megabyte
    UNPROBED = 64  # streams that a socket admits without probation

@cython.final
cdef class NamedSockets:
    cdef unsigned long long[::1] entries
    cdef unsigned long long mask, widest, odd0, odd1, odd2
    cdef readonly long long count

    cdef unsigned long long slot_of(self, unsigned long long high, unsigned long long low, unsigned long long port) noexcept nogil
    cdef int find(self, unsigned long long high, unsigned long long low, unsigned long long port) except -2 nogil
    cdef unsigned long long peer_of(self, unsigned long long high, unsigned long long low, unsigned long long port) noexcept nogil
    cdef bint admits(self, unsigned long long high, unsigned long long low, unsigned long long port, unsigned long long peer) except -1 nogil
    cdef bint declares(self, unsigned long long high, unsigned long long low, unsigned long long port, long long payload_type) except -1 nogil
    cpdef object add(self, str host, unsigned long long port, unsigned long long types=*)
    cpdef object discard(self, str host, unsigned long long port)
    cdef object _grow(self)
    cdef int _write(self, int at, unsigned long long high, unsigned long long low, unsigned long long word, unsigned long long rest) except -1

cdef (bint, unsigned long long, unsigned long long) _key(str host) except *
cdef long long _dotted(str host) except -2
