cimport cython
from agent.tracking.dialog_cy cimport Leg

cdef class Stream:
    cdef public int id
    cdef public unsigned int ssrc
    cdef public long long first_ns
    cdef public object src, dst, towards, arriving, heard
    cdef public Leg leg
    cdef public dict codecs
    cdef public bint clean, attached, first, audio, named
    cpdef str codec_name(self, int payload_type)

@cython.final
cdef class Crowd:
    cdef set users
    cdef dict sent

    cdef object add(self, tuple socket, Stream stream)
    cdef object discard(self, tuple socket, Stream stream)

@cython.final
cdef class Found:
    cdef readonly list by_id
    cdef Py_ssize_t _count
    cdef dict _by_socket

    cpdef Stream get(self, long long stream_id)
    cpdef list leaving(self, tuple source, unsigned int ssrc)
    cpdef tuple at(self, tuple socket)
    cpdef object add(self, Stream stream)
    cpdef Stream pop(self, long long stream_id)
    cdef tuple _join(self, tuple socket, Stream stream)
    cdef object _part(self, tuple socket, Stream stream)

cdef tuple _few(object users)
