cimport cython
from agent.wire.ip.decoder_cy cimport *

cdef enum:
    MAX_LOUD = 64
    ANSWERED = 1048576
    LF = 10
    CR = 13
    SPACE = 32
    TAB = 9
    COLON = 58

cdef extern from *:
    """
    #define SBCWATCH_CALL_MASK 0xFFFFFFFFULL
    """
    const unsigned long long MASK "SBCWATCH_CALL_MASK"

cdef unsigned int call_hash(const unsigned char[::1] view, long long at, long long end) except? 0 nogil

@cython.final
cdef class SampledSources:
    cdef Decoder decoder
    cdef readonly long long loud
    cdef dict places
    cdef unsigned long long[::1] highs, lows
    cdef long long[::1] bits, counts
    cdef unsigned long long[::1] answered

    cdef int rows(self, long long[::1] index) except -1
    cdef int out(self, long long offset, long long captured, long long origin) except -1 nogil
    cdef bint is_answered(self, unsigned int hashed) except -1 nogil
    cdef int place(self, unsigned long long high, unsigned long long low) except -2 nogil
