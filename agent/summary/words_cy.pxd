cimport cython
from agent.wire.sip.scan_cy cimport same


@cython.final
cdef class Words:
    cdef readonly dict _by_first
    cdef unsigned int[256] _seconds

    cpdef bint are_in(self, bytes data) except -1
