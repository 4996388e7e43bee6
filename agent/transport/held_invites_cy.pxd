cimport cython

cdef enum:
    HELD_BYTES = 16777216
    ENTRIES = 65536
    BUCKETS = 65536
    LONGEST = 4096  # bytes of an INVITE that is held; a longer one is not
    STEPS = 16  # entries of a bucket that are looked at: more only who wants to collide has
    # Columns of `entries`.
    HASH = 0
    BEGIN = 1
    LENGTH = 2
    STAMP = 3
    BEFORE = 4  # the entry before it in its bucket
    # ... and of `addresses`.
    SRC = 0
    DST = 2
    COLUMNS = 5
    HALVES = 4

@cython.final
cdef class HeldInvites:
    cdef long long count, written
    cdef unsigned char[::1] octets
    cdef long long[::1] entries, heads
    cdef unsigned long long[::1] addresses

    cdef int add(self, const unsigned char[::1] view, long long at, long long length, unsigned int hashed, long long stamp_ns, unsigned long long src_hi, unsigned long long src_lo, unsigned long long dst_hi, unsigned long long dst_lo) except -1 nogil
    cdef int find(self, unsigned int hashed, unsigned long long src_hi, unsigned long long src_lo, unsigned long long dst_hi, unsigned long long dst_lo) except -2 nogil
    cdef bint is_there(self, long long number) except -1 nogil
    cdef bint is_same(self, const unsigned char[::1] view, long long at, long long begin, long long length) except -1 nogil
