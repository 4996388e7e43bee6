# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
from agent.wire.frame cimport CAPTURED, OFFSET, STAMP, STRIDE, WIRE
from agent.wire.frame cimport ORIGIN as FRAME_ORIGIN

ctypedef const unsigned char *Octets
ctypedef long long *Row

# Loads from bytes that `octets_of` has checked.
cdef extern from *:
    """
    static inline unsigned int sbcwatch_load16(const unsigned char *p, int at, int big) {
        return big ? (unsigned int)p[at] << 8 | p[at + 1] : (unsigned int)p[at + 1] << 8 | p[at];
    }
    static inline unsigned int sbcwatch_load32(const unsigned char *p, int at, int big) {
        unsigned int first = sbcwatch_load16(p, at, big), second = sbcwatch_load16(p, at + 2, big);
        return big ? first << 16 | second : second << 16 | first;
    }
    """
    unsigned int load16 "sbcwatch_load16"(Octets octets, int at, bint big)
    unsigned int load32 "sbcwatch_load32"(Octets octets, int at, bint big)

# Nanoseconds until the year 2116, which leaves room for an offset; the same in seconds.
cdef extern from *:
    """
    #define SBCWATCH_TIME_LIMIT 0x4000000000000000LL
    #define SBCWATCH_SECONDS_LIMIT 4611686018LL
    """
    const long long TIME_LIMIT "SBCWATCH_TIME_LIMIT"
    const long long SECONDS_LIMIT "SBCWATCH_SECONDS_LIMIT"

cdef enum:
    _MULTIPLY = 0
    _DIVIDE = 1
    _MAX_CAPTURED = 262144  # libpcap and Wireshark call more corrupt (MAXIMUM_SNAPLEN)
    _SECTION_TYPE = 0x0A0D0D0A
    _INTERFACE_BITS = 0xFFFF
    _TYPE_BITS = 0xFF0000
    _NO_STAMP = -1
    _BEFORE_1970 = -2

# `inline` makes Cython warn, and the walk three times as fast: a memoryview is 200 bytes to pass by value.
# `count` > 0 bytes of the chunk: the first and the last are bounds-checked, once for all.
cdef inline Octets octets_of(const unsigned char[::1] data, Py_ssize_t at, Py_ssize_t count) except NULL:
    cdef Octets last = &data[at + count - 1]
    return &data[at] if last else NULL

# A row of the index, checked in the same way.
cdef inline Row row_of(long long[::1] index, Py_ssize_t at) except NULL:
    cdef Row last = &index[at + STRIDE - 1]
    return &index[at] if last else NULL

cdef inline long long _u16(const unsigned char[::1] data, Py_ssize_t at, bint big) except? -1
cdef inline long long _u32(const unsigned char[::1] data, Py_ssize_t at, bint big) except? -1
cdef long long _stamp(long long high, long long low, long long unit, long long factor) except? -2
