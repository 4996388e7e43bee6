cimport cython
from agent.wire.ip.decoder_cy cimport *

cdef enum:
    PORT_NUMBERS = 65536

@cython.final
cdef class Picker:
    cdef Decoder decoder
    cdef dict sockets
    cdef unsigned char[::1] ports

    cdef int find(self, long long offset, long long captured, long long origin) except -100
    cdef int asked(self) except -2
