cimport cython
from agent.wire.ip.packet_cy cimport COPY_NS, Packet

cdef enum:
    NEAR_NS = 2000000  # a mirror's copy comes so soon; a stack repeats itself later

@cython.final
cdef class Copies:
    cdef bint _single_span
    cdef dict _recent, _before
    cdef long long _since_ns

    cdef public Copies peers

    cpdef bint is_copy(self, Packet packet, bint is_sip, bint is_peer=*) except -1
    cdef bint _has(self, Packet packet, bint is_sip) except -1
    cdef object _remember(self, Packet packet)
    cdef bint _same(self, Packet packet, Packet seen, bint is_sip) except -1
