cimport cython

@cython.final
cdef class Peers:
    cdef object _known
    cdef str _newest

    cpdef bint knows(self, str address) except -1
    cpdef object sent(self, str address, bytes message)
    cpdef object add(self, str address)

cpdef bint is_taken_up(bytes message) except -1
cdef bint _is_registered(bytes message) except -1
