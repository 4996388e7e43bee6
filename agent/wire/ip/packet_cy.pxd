# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
cimport cython

cdef enum:
    COPY_NS = 20000000  # a copy of a packet comes within 20 ms

@cython.final
@cython.no_gc
cdef class Packet:
    cdef readonly int kind
    cdef readonly str src, dst
    cdef readonly bytes payload
    cdef readonly long long src_port, dst_port, length, stamp_ns, path, protocol
    cdef readonly long long identification, fragment_offset, seq, flags
    cdef readonly long long tunnel, vni, depth
    cdef readonly bint more_fragments

cdef dict _dotted
cpdef str address(unsigned long long high, unsigned long long low)
