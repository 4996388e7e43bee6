# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
# Rows as agent/media/rtp/stream_row.py describes them: the same fields in the same order.
from agent.model.stream_minute_cy cimport StreamMinute

cdef struct MinuteFields:
    long long bytes
    long long judged
    double jitter_sum_us
    double jitter_max_us
    unsigned int packets
    unsigned int gap_packets
    unsigned int jitter_count
    unsigned int duplicates
    long long lost
    long long unknown
    long long burst_packets
    long long burst_lost
    unsigned int reordered
    unsigned int discarded
    unsigned int loss_runs
    unsigned int gap_lost
    unsigned int bursts
    unsigned int ssrc_gap
    unsigned int timebase_changes
    unsigned int type_packets[4]
    unsigned char types[4]

cdef struct RowFields:
    unsigned long long src_hi
    unsigned long long src_lo
    unsigned long long dst_hi
    unsigned long long dst_lo
    unsigned long long sockets
    long long last_ns
    long long top
    unsigned char state
    unsigned char unjudged
    unsigned char since
    unsigned char payload_type
    unsigned char settled
    unsigned char referenced
    unsigned char votes
    unsigned char late_run
    long long first_ns
    long long received
    long long ref_ns
    double jitter_us
    double excess_us
    double scale
    unsigned int ref_ts
    unsigned int codec
    unsigned int step
    unsigned short bad_seq
    unsigned char stray
    unsigned char anchored
    MinuteFields even
    MinuteFields odd
    long long unknown
    long long cluster
    unsigned int cluster_received
    unsigned int epoch
    unsigned int anchor_at
    unsigned int anchor_ts
    unsigned int guess
    unsigned int refuted
    unsigned int late_from
    unsigned int steady_us
    unsigned int sibling
    unsigned int bad_cell
    unsigned int queue
    unsigned short map
    unsigned short base
    unsigned int window[64]

ctypedef RowFields *StreamRow
ctypedef MinuteFields *MinuteRow

cdef enum:
    ROW_BYTES = 704
    MINUTE_BYTES = 128
    TYPE_SLOTS = 4  # payload types counted apart in a minute
    FURTHER_TYPES = 255  # ... and all others together
    WINDOW = 64

    FREE = 0
    CANDIDATE = 1
    ACCEPTED = 2

cdef extern from *:
    """
    #define SBCWATCH_MASK64 0xFFFFFFFFFFFFFFFFULL
    #define SBCWATCH_MASK32 0xFFFFFFFFULL
    """
    const unsigned long long MASK64 "SBCWATCH_MASK64"
    const unsigned long long MASK32 "SBCWATCH_MASK32"

cdef extern from "string.h":
    void *memset(void *at, int value, size_t size) nogil

cdef class Table:
    cdef unsigned char[::1] memory
    cdef unsigned long long[::1] slots
    cdef int[::1] spare
    cdef int[::1] queue
    cdef unsigned long long mask, widest, odd0, odd1, odd2, odd3, odd4, odd5
    cdef readonly long long max_streams, streams, refused, evicted, minute_ns
    cdef public long long closed_ns, newest_ns
    cdef readonly long long used, live
    cdef long long spares, queued, oldest, queue_mask

    cdef StreamRow known(self, long long stream) except NULL
    cpdef long long last_ns(self, long long stream) except? -1
    cdef StreamMinute described(self, long long number, StreamRow row, long long minute_start_ns)
    cdef inline unsigned long long hash(self, unsigned long long a, unsigned long long b, unsigned long long c, unsigned long long d, unsigned long long e) noexcept nogil
    cdef unsigned long long hash_of(self, StreamRow row) noexcept nogil
    cdef int lookup(self, unsigned long long a, unsigned long long b, unsigned long long c, unsigned long long d, unsigned long long e) except -2 nogil
    cdef int insert(self, unsigned long long a, unsigned long long b, unsigned long long c, unsigned long long d, unsigned long long e) except -2 nogil
    cdef int place(self, unsigned long long hashed, long long number) except -1 nogil
    cdef int remove(self, long long number) except -1 nogil
    cdef int grow(self) except -1 nogil
    cdef int waits(self, long long position) except -2 nogil
    cdef MinuteRow minute_at(self, StreamRow row, long long stamp_ns) noexcept nogil

cdef inline StreamRow row_of(Table table, unsigned long long number) except NULL nogil:
    return <StreamRow>&table.memory[number * ROW_BYTES]

cdef inline MinuteRow half(StreamRow row, bint odd) noexcept nogil:
    return &row.odd if odd else &row.even
