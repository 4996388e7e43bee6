cimport cython

@cython.final
@cython.no_gc
cdef class Ledger:
    cdef public dict lost, arrived, left, vc_lost, first_ns

    cpdef object gap(self, long long ssrc, long long gaps, bint arrived)
