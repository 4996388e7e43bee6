cimport cython
from agent.wire.sip.scan_cy cimport (
    CALL_ID, COLON, CR, FROM, LF, LOWER, SPACE, TAB, TO, VIA, begins, bounded, find, is_blank, mark, method_at, name_end,
    needed, same, start_of, status_at, text_at,
)
from agent.wire.sip.values_cy cimport address_at, address_of, branch_at, parse_uri, tag_at

cdef extern from *:
    const long long DIGITS_END "10000000000LL"
    const long long CSEQ_MAX "0xFFFFFFFFLL"

cdef enum:
    LINES_NOTED = 48  # nearly every message has fewer headers

cpdef long long digits(str text, Py_ssize_t most) except -2
cdef dict _spelled
cdef tuple _spellings(str name)
cdef object _seconds(str text)

@cython.final
@cython.no_gc
cdef class Message:
    cdef readonly bytes data
    cdef readonly bint is_request
    cdef readonly str method, call_id, from_tag, to_tag, cseq_method, branch
    cdef readonly long long status, cseq
    cdef object _from, _to, _request
    cdef bytes _head
    cdef unsigned long long _names
    cdef Py_ssize_t _line, _line_end, _uri_at, _uri_end, _at, _end, _body_at
    cdef Py_ssize_t _via_at, _via_end, _from_at, _from_end, _to_at, _to_end, _cseq_at, _cseq_end
    cdef bint _whole
    cdef int _noted
    cdef int _lines[LINES_NOTED]

    cdef object _read(self)
    cdef bint _walk_in_place(self) except -1
    cdef object _unfold(self, Py_ssize_t start)
    cdef object _walk(self)
    cdef object _note(self, Py_ssize_t at, Py_ssize_t stop)
    cdef object _sequence(self, Py_ssize_t at, Py_ssize_t stop)
    cdef object _start_line(self)
    cdef object _odd_start_line(self, str line)
    cdef str _start_text(self)
    cpdef str header(self, str name)
    cpdef bint has_one_of(self, object names) except -1
    cpdef list headers(self, str name)
    cpdef list values(self, str name)
    cdef Py_ssize_t _seek(self, bytes long, bytes short, Py_ssize_t at) except -2
    cdef Py_ssize_t _named(self, bytes long, bytes short, Py_ssize_t at, Py_ssize_t stop) except -2
    cdef str _value(self, Py_ssize_t at)
    cdef object _from_uri(self)
    cdef object _to_uri(self)
    cdef object _request_uri(self)
    cdef object _address_header(self, str name)

