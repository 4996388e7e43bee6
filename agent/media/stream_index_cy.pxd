cimport cython
from agent.model.call_cy cimport Stream


@cython.final
cdef class ManyStreams:
    cdef set users
    cdef dict sent

    cdef object add(self, tuple socket, Stream stream)
    cdef object discard(self, tuple socket, Stream stream)

@cython.final
cdef class StreamIndex:
    cdef readonly list by_id
    cdef Py_ssize_t _count
    cdef dict _by_socket

    cpdef Stream get(self, long long stream_id)
    cpdef list leaving(self, tuple source, unsigned int ssrc)
    cpdef tuple at(self, tuple socket)
    cpdef Py_ssize_t count(self, tuple socket) except -1
    cpdef list sent_by(self, tuple socket)
    cpdef tuple few_at(self, tuple socket)
    cpdef list between(self, tuple src, tuple dst)
    cpdef list line(self, tuple src, tuple dst)
    cpdef object add(self, Stream stream)
    cpdef Stream pop(self, long long stream_id)
    cdef tuple _join(self, tuple socket, Stream stream)
    cdef object _part(self, tuple socket, Stream stream)

@cython.final
cdef class IdQueue:
    cdef object _next, _before
    cdef Py_ssize_t _count

    cpdef int first(self) except? -2
    cpdef object add(self, int stream_id)
    cpdef object discard(self, int stream_id)

cdef tuple _few(object users)
