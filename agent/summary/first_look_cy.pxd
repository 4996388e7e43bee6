cimport cython
from agent.wire.sip.scan_cy cimport COLON, CR, LF, LOWER, SPACE, TAB, find, mark, same

cdef enum:
    BEGINNING = 4  # octets of a word that are looked for at first
    FIRSTS = 0x4B  # bits 0, 1, 3, 6: the first places in beginnings of 1, 2, 3 and 4 octets
    LASTS = 0x225  # bits 0, 2, 5, 9: their last places


@cython.final
cdef class Words:
    cdef dict _by_last
    cdef unsigned int[256] _places

    cpdef bint are_in(self, bytes data) except -1
    cdef bint _is_begun(self, bytes data, Py_ssize_t at, int octet) except -1


@cython.final
cdef class Names:
    cdef tuple _names
    cdef unsigned long long _marks

    cdef bint have(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -1


@cython.final
cdef class FirstLook:
    cdef Names _removed
    cdef bint _keeps_bodies

    cpdef bint is_plain(self, bytes data) except -1


cdef Words _SUSPECT
cdef Words _SUSPECT_IN_SDP
cdef Names _TYPE
cdef Names _ATTRIBUTES

cdef Py_ssize_t _line_end(bytes data, Py_ssize_t at, Py_ssize_t size) except -2
cdef Py_ssize_t _name_end(bytes data, Py_ssize_t at) except -1
cdef bint _is_plain_sdp(bytes data, Py_ssize_t at, Py_ssize_t size) except -1
cdef bint _is_plain_attribute(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cdef bint _has_password(bytes data) except -1
cdef bint _may_have_password(bytes data, Py_ssize_t at) except -1
cdef Py_ssize_t _address_end(bytes data, Py_ssize_t at) except -1
cdef bint _is_port(bytes data, Py_ssize_t at) except -1
cdef Py_ssize_t _part_end(bytes data, Py_ssize_t at) except -1
