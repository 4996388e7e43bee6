cdef enum:
    WORDS = 112
    CELLS = 224
    WINDOW = 64
    WINDOW_AT = 160
    SRC_HI = 0
    SRC_LO = 1
    DST_HI = 2
    DST_LO = 3
    SOCKETS = 4
    STATE = 5
    LAST = 6
    TOP = 7
    JUDGED = 8
    RECEIVED = 9
    FIRST = 10
    REF_NS = 11
    REF_TS = 12
    CODEC = 13
    SINCE = 14
    TYPE = 15
    JITTER = 16
    EXCESS = 17
    RATE = 18
    US_PER_TICK = 19
    STEP = 20
    VOTES = 21
    MAP = 22
    BAD = 23
    BASE = 24
    EPOCH = 25
    BAD_NS = 26
    BAD_PATH = 27
    UNKNOWN = 28
    CLUSTER = 29
    CLUSTER_RECEIVED = 30
    QUEUE = 31
    SLOT = 32
    SLOT_STRIDE = 24
    N_COUNTERS = 17
    LATE_RUN = 51
    INFER_NS = 52
    INFER_TS = 53
    INFER_COUNT = 54
    ASSUMED = 55

    FREE = 0
    CANDIDATE = 1
    ACCEPTED = 2

    PACKETS = 0
    BYTES = 1
    JUDGED_NUMBERS = 2
    GAP_PACKETS = 3
    JITTER_SUM = 4
    JITTER_COUNT = 5
    JITTER_MAX = 6
    LOST = 7
    LOST_UNKNOWN = 8
    DUPLICATES = 9
    REORDERED = 10
    DISCARDED = 11
    LOSS_RUNS = 12
    BURST_PACKETS = 13
    BURST_LOST = 14
    GAP_LOST = 15
    BURSTS = 16

cdef extern from *:
    """
    #define SBCWATCH_MASK64 0xFFFFFFFFFFFFFFFFULL
    #define SBCWATCH_MASK32 0xFFFFFFFFULL
    """
    const unsigned long long MASK64 "SBCWATCH_MASK64"
    const unsigned long long MASK32 "SBCWATCH_MASK32"

cdef class Table:
    cdef long long[::1] rows
    cdef unsigned long long[::1] keys
    cdef double[::1] reals
    cdef unsigned int[::1] cells
    cdef unsigned long long[::1] slots
    cdef int[::1] spare
    cdef int[::1] queue
    cdef unsigned long long mask, widest, odd0, odd1, odd2, odd3, odd4, odd5
    cdef readonly long long max_streams, streams, refused, evicted, minute_ns
    cdef public long long closed_ns, newest_ns
    cdef readonly long long used, live
    cdef long long spares, queued, oldest, queue_mask

    cdef unsigned long long hash(self, unsigned long long a, unsigned long long b, unsigned long long c, unsigned long long d, unsigned long long e) noexcept nogil
    cdef int lookup(self, unsigned long long a, unsigned long long b, unsigned long long c, unsigned long long d, unsigned long long e) except -2 nogil
    cdef int insert(self, unsigned long long a, unsigned long long b, unsigned long long c, unsigned long long d, unsigned long long e) except -2 nogil
    cdef int place(self, unsigned long long hashed, long long row) except -1 nogil
    cdef int remove(self, long long row) except -1 nogil
    cdef int grow(self) except -1 nogil
    cdef int waits(self, long long position) except -2 nogil
    cdef long long slot_at(self, long long row, long long stamp_ns) noexcept nogil
