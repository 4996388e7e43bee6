cimport cython
from agent.transport.held_invites_cy cimport HeldInvites
from agent.wire.ip.decoder_cy cimport *
from agent.wire.sip.scan_cy cimport COLON, CR, LF, SPACE, TAB

cdef enum:
    MAX_SAMPLED = 64
    ANSWERED = 1048576

cdef extern from *:
    """
    #define SBCWATCH_CALL_MASK 0xFFFFFFFFULL
    """
    const unsigned long long MASK "SBCWATCH_CALL_MASK"

cdef bint is_invite(const unsigned char[::1] view, long long at, long long end) except -1 nogil
cdef bint says_invite(const unsigned char[::1] view, long long at) except -1 nogil
cdef bint takes_up(const unsigned char[::1] view, long long at, long long end) except -1 nogil
cdef unsigned int call_hash(const unsigned char[::1] view, long long at, long long end) except? 0 nogil

@cython.final
cdef class SampledSources:
    cdef Decoder decoder
    cdef readonly long long used
    cdef dict places
    cdef unsigned long long[::1] highs, lows
    cdef long long[::1] bits, counts
    cdef unsigned long long[::1] answered
    cdef readonly HeldInvites held
    cdef public long long room

    cdef int rows(self, long long[::1] index) except -1
    cdef int out(self, long long offset, long long captured, long long origin, long long stamp_ns) except -1 nogil
    cdef int is_taken_up(self, unsigned int hashed, long long begin, long long end, bint to_it) except -1 nogil
    cdef int mark(self, unsigned int hashed) except -1 nogil
    cdef bint is_answered(self, unsigned int hashed) except -1 nogil
    cdef int place(self, unsigned long long high, unsigned long long low) except -2 nogil
