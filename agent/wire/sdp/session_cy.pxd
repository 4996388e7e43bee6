cimport cython
from agent.wire.sip.message_cy cimport digits
from agent.wire.sip.scan_cy cimport COLON, CR, LF, find, text_at

cdef enum:
    EQUALS = 61
    ATTRIBUTE = 97
    CONNECTION = 99
    MEDIA = 109
    VERSION = 118

@cython.final
@cython.no_gc
cdef class Session:
    cdef public int rtpmaps_left, candidates_left, ssrcs_left
    cdef readonly str connection, direction
    cdef readonly bint crypto
    cdef readonly list media, bundles

@cython.final
@cython.no_gc
cdef class MediaDescription:
    cdef readonly str kind, protocol, address, direction, rtcp_address, mid
    cdef readonly int port, port_count, rtcp_port
    cdef readonly bint is_rtp, encrypted, rtcp_mux, crypto
    cdef readonly tuple payload_types
    cdef readonly dict rtpmap
    cdef readonly list ssrcs, candidates

cpdef Session parse(bytes data)
cpdef Py_ssize_t condensed_size(Session session) except -1
cdef Py_ssize_t _digits(Py_ssize_t number) except -1
cdef object _place_rtcp(MediaDescription media)
cdef MediaDescription _media(str value, Session session)
cdef object _attribute(bytes data, Py_ssize_t at, Py_ssize_t stop, MediaDescription media, Session session)
cdef object _of_session(Session session, str name, str value)
cdef object _rtcp(MediaDescription media, str value)
cdef object _candidate(str value, MediaDescription media)
cdef str _connection(str value)
cdef str _canonical(str address)
cdef long long _number(str text, long long most) except -2
