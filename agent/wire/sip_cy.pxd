cimport cython

cdef enum:
    TAB = 9
    LF = 10
    CR = 13
    SPACE = 32
    COLON = 58
    LOWER = 32

    VIA = 1
    FROM = 2
    TO = 3
    CALL_ID = 4
    CSEQ = 5

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
    """
    Py_ssize_t find_octet "sbcwatch_find_octet"(bytes data, int octet, Py_ssize_t at, Py_ssize_t end)

cpdef bint looks_like_sip(bytes data) except -1
cdef Py_ssize_t _find(bytes data, int octet, Py_ssize_t at, Py_ssize_t end) noexcept
cdef bint _is_tidy(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cdef int _needed(bytes head, Py_ssize_t at, Py_ssize_t colon) except -1
cdef Py_ssize_t _name_end(bytes head, Py_ssize_t at, Py_ssize_t colon) except -1
cdef bint _is(bytes head, Py_ssize_t at, Py_ssize_t stop, bytes name) except -1
cdef str _text(bytes head, Py_ssize_t at, Py_ssize_t stop)
cpdef str stripped(str text)
cpdef long long digits(str text, Py_ssize_t most) except -2
cdef object _read_uri(str text)
cdef tuple _address(str value)
cdef str _tag(str value)
cdef str _branch(str via)

@cython.final
@cython.no_gc
cdef class Message:
    cdef readonly bytes data
    cdef readonly bint is_request
    cdef readonly str method, reason, uri, call_id, from_text, from_tag, to_text, to_tag
    cdef readonly str cseq_method, top_via, branch
    cdef readonly long long status, cseq
    cdef object _from, _to, _request
    cdef bytes _head
    cdef Py_ssize_t _at, _end, _body_at
    cdef bint _whole

    cdef object _frame(self)
    cdef object _identify(self)
    cdef object _start_line(self, str line)
    cpdef str header(self, str name)
    cdef Py_ssize_t _seek(self, bytes long, bytes short, Py_ssize_t at) except -2
    cdef str _value(self, Py_ssize_t at)
    cdef object _from_uri(self)
    cdef object _to_uri(self)
    cdef object _request_uri(self)
    cdef object _address_header(self, str name)

cdef bint _has_line(bytes data, list[bytes] names) except -1
