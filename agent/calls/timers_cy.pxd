cimport cython

@cython.final
cdef class Timers:
    cdef readonly long long due_ns
    cdef dict _queues, _where

    cpdef object set(self, object what, long long now_ns, long long after_ns)
    cpdef object drop(self, object what)
    cpdef tuple pop(self, long long now_ns)
