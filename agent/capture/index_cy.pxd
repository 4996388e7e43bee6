cdef extern from *:
    """
    #define SBCWATCH_TIME_LIMIT (1LL << 62)
    #define SBCWATCH_SECONDS_LIMIT ((1LL << 62) / 1000000000LL)
    """
    const long long TIME_LIMIT "SBCWATCH_TIME_LIMIT"
    const long long SECONDS_LIMIT "SBCWATCH_SECONDS_LIMIT"

cdef enum:
    _MULTIPLY = 0
    _DIVIDE = 1
    _MAX_CAPTURED = 262144
    _SECTION_TYPE = 0x0A0D0D0A
    _INTERFACE_BITS = 0xFFFF
    _TYPE_BITS = 0xFF0000

# `inline` makes Cython warn, and the walk three times as fast: a memoryview is 200 bytes to pass by value.
cdef inline long long _u16(const unsigned char[::1] data, Py_ssize_t at, bint big) except? -1
cdef inline long long _u32(const unsigned char[::1] data, Py_ssize_t at, bint big) except? -1
cdef long long _stamp(long long high, long long low, long long unit, long long factor) except? -2
