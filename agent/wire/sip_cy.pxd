cimport cython

cdef enum:
    TAB = 9
    LF = 10
    CR = 13
    SPACE = 32
    QUOTE = 34
    COMMA = 44
    DOT = 46
    SLASH = 47
    COLON = 58
    SEMICOLON = 59
    LESS = 60
    GREATER = 62
    BACKSLASH = 92
    LOWER = 32

    VIA = 1
    FROM = 2
    TO = 3
    CALL_ID = 4
    CSEQ = 5

    LOOKED_AT = 4096
    METHOD_MAX = 64

cdef extern from *:
    """
    #include <string.h>
    /* Both ends are checked against the object: where they are not inside it nothing is found. */
    static inline Py_ssize_t sbcwatch_find_octet(PyObject *data, int octet, Py_ssize_t at, Py_ssize_t end) {
        const char *first = PyBytes_AS_STRING(data);
        const char *found = NULL;
        if (0 <= at && at < end && end <= PyBytes_GET_SIZE(data))
            found = (const char *)memchr(first + at, octet, (size_t)(end - at));
        return found ? (Py_ssize_t)(found - first) : end;
    }
    static inline int sbcwatch_begins_with(PyObject *data, PyObject *what, Py_ssize_t at, Py_ssize_t end) {
        Py_ssize_t size = PyBytes_GET_SIZE(what);
        return 0 <= at && size <= end - at && end <= PyBytes_GET_SIZE(data)
            && memcmp(PyBytes_AS_STRING(data) + at, PyBytes_AS_STRING(what), (size_t)size) == 0;
    }
    """
    const long long DIGITS_END "10000000000LL"
    const long long CSEQ_MAX "0xFFFFFFFFLL"
    bint begins_with "sbcwatch_begins_with"(bytes data, bytes what, Py_ssize_t at, Py_ssize_t end)
    Py_ssize_t find_octet "sbcwatch_find_octet"(bytes data, int octet, Py_ssize_t at, Py_ssize_t end)

cpdef bint looks_like_sip(bytes data) except -1
cdef Py_ssize_t _find(bytes data, int octet, Py_ssize_t at, Py_ssize_t end) noexcept
cdef bint _begins(bytes data, bytes what, Py_ssize_t at, Py_ssize_t end) noexcept
cdef Py_ssize_t _start(bytes data, Py_ssize_t end) except -1
cdef Py_ssize_t _token_end(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cdef bint _looks_like_status(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cdef int _status(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cdef bint _is_digit(int octet) noexcept
cdef str _method(bytes head, Py_ssize_t at, Py_ssize_t end)
cdef int _needed(bytes head, Py_ssize_t at, Py_ssize_t stop) except -1
cdef unsigned long long _mark(int first, Py_ssize_t length) noexcept
cdef bint _is_blank(bytes head, Py_ssize_t at, Py_ssize_t stop) except -1
cdef Py_ssize_t _name_end(bytes head, Py_ssize_t at, Py_ssize_t colon) except -1
cdef bint _is(bytes head, Py_ssize_t at, Py_ssize_t stop, bytes name) except -1
cdef str _text(bytes head, Py_ssize_t at, Py_ssize_t stop)
cpdef str stripped(str text)
cpdef long long digits(str text, Py_ssize_t most) except -2
cdef tuple _spellings(str name)
cdef dict _spelled, _known_uris
cpdef object parse_uri(str text)
cdef tuple _NAMED
cdef object _read_uri(str text)
cdef tuple _address(str value)
cdef str _address_at(bytes head, Py_ssize_t at, Py_ssize_t end)
cdef str _tag_at(bytes head, Py_ssize_t at, Py_ssize_t end)
cdef str _branch_at(bytes head, Py_ssize_t at, Py_ssize_t end)
cdef str _parameter_at(bytes head, bytes name, Py_ssize_t at, Py_ssize_t end)
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
    cdef Py_ssize_t _seek(self, bytes long, bytes short, Py_ssize_t at) except -2
    cdef str _value(self, Py_ssize_t at)
    cdef object _from_uri(self)
    cdef object _to_uri(self)
    cdef object _request_uri(self)
    cdef object _address_header(self, str name)

cdef bint _has_line(bytes data, list[bytes] names) except -1
