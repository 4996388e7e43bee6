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
    LOWER = 32  # the bit by which a letter differs from its capital

    VIA = 1
    FROM = 2
    TO = 3
    CALL_ID = 4
    CSEQ = 5

    LOOKED_AT = 4096  # octets in which a start line is looked for
    METHOD_MAX = 64  # characters of the method in what looks like SIP
    IDENTIFIER_MAX = 256  # longest text that is kept whole

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
    Py_ssize_t find "sbcwatch_find_octet"(bytes data, int octet, Py_ssize_t at, Py_ssize_t end)
    bint begins "sbcwatch_begins_with"(bytes data, bytes what, Py_ssize_t at, Py_ssize_t end)

cdef tuple _NAMED
cpdef bint looks_like_sip(bytes data) except -1
cdef bint _looks_like_status(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cpdef int status_at(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cdef bint _is_digit(int octet) noexcept
cpdef Py_ssize_t start_of(bytes data, Py_ssize_t end) except -1
cdef Py_ssize_t _token_end(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cpdef str method_at(bytes head, Py_ssize_t at, Py_ssize_t end)
cpdef int needed(bytes head, Py_ssize_t at, Py_ssize_t stop) except -1
cpdef unsigned long long mark(int first, Py_ssize_t length) noexcept
cpdef Py_ssize_t name_end(bytes head, Py_ssize_t at, Py_ssize_t colon) except -1
cpdef bint same(bytes head, Py_ssize_t at, Py_ssize_t stop, bytes name) except -1
cpdef str parameter_at(bytes head, bytes name, Py_ssize_t at, Py_ssize_t end)
cpdef bint is_blank(bytes head, Py_ssize_t at, Py_ssize_t stop) except -1
cpdef str text_at(bytes head, Py_ssize_t at, Py_ssize_t stop)
cpdef str bounded(str text)
