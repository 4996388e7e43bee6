# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
# Rows as agent/media/rtp/stream_row.py describes them: the same fields in the same order.
from agent.model.stream_minute_cy cimport StreamMinute

cdef struct SlotFields:
    unsigned short packets
    unsigned short lost
    unsigned short late
    unsigned short jitter
    unsigned short gap

cdef struct RareFields:
    unsigned int bursts
    unsigned int burst_packets
    unsigned int burst_lost
    unsigned int type_packets[4]
    unsigned char types[4]
    unsigned short timebase_changes
    unsigned short runs[10]
    unsigned short delays[7]

cdef struct MinuteFields:
    long long bytes
    double jitter_sum_us
    unsigned int packets
    unsigned int judged
    unsigned int gap_packets
    unsigned int jitter_count
    float jitter_max_us
    unsigned int longest_ns
    unsigned int slot
    unsigned int duplicates
    unsigned int slotted
    unsigned int lost
    unsigned int unknown
    unsigned int reordered
    unsigned int discarded
    unsigned int loss_runs
    unsigned int gap_lost
    unsigned int ssrc_gap
    float jitter_peak_us
    unsigned int rare

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
    long long unknown
    unsigned int cluster
    unsigned int cluster_received
    unsigned int run
    unsigned int epoch
    unsigned int anchor_at
    unsigned int anchor_ts
    unsigned int guess
    unsigned int refuted
    MinuteFields odd
    unsigned int late_from
    unsigned int steady_us
    unsigned int sibling
    unsigned int bad_cell
    unsigned int queue
    unsigned short map
    unsigned short base
    SlotFields timeline[8]
    unsigned int window[64]

ctypedef RowFields *StreamRow
ctypedef MinuteFields *MinuteRow
ctypedef SlotFields *SlotRow
ctypedef RareFields *RareRow

cdef enum:
    ROW_BYTES = 704
    MINUTE_BYTES = 88
    RARE_BYTES = 68
    SLOT_BYTES = 10
    SLOTS = 6  # of a minute
    RING = 8  # slots that a row remembers
    MOST = 65535  # a counter of 16 bits goes no further
    RUNS = 10  # kinds of runs of losses: 1, 2 ... 10 or more in a row
    DELAYS = 7  # kinds of late packets (loss_cy)
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
    void *memcpy(void *to, const void *at, size_t size) nogil

cdef extern from "Python.h":
    bytes PyBytes_FromStringAndSize(const char *at, Py_ssize_t size)

cdef class Table:
    cdef unsigned char[::1] memory
    cdef unsigned char[::1] rare
    cdef int[::1] rare_spare
    cdef readonly long long rare_used, rare_spares
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
    cdef RareRow rare_for(self, MinuteRow minute) except NULL nogil
    cdef int give_back(self, MinuteRow minute) except -1 nogil
    cdef void blank(self, MinuteRow minute) noexcept nogil
    cdef int waits(self, long long position) except -2 nogil
    cdef MinuteRow minute_at(self, StreamRow row, long long stamp_ns) noexcept nogil

cdef inline StreamRow row_of(Table table, unsigned long long number) except NULL nogil:
    return <StreamRow>&table.memory[number * ROW_BYTES]

# The counts of that minute that few streams have; all zero where `rare` is 0. Only to read.
cdef inline RareRow rare_of(Table table, MinuteRow minute) noexcept nogil:
    return <RareRow>(&table.rare[0] + minute.rare * RARE_BYTES)

cdef inline MinuteRow half(StreamRow row, bint odd) noexcept nogil:
    return &row.odd if odd else &row.even

cdef inline bint is_odd_half(StreamRow row, MinuteRow minute) noexcept nogil:
    return minute == &row.odd

cdef inline SlotRow slot_of(StreamRow row, unsigned long long number) noexcept nogil:
    return &row.timeline[number & (RING - 1)]

cdef inline bytes slot_octets(StreamRow row, long long first, long long end):
    cdef bytes octets = PyBytes_FromStringAndSize(NULL, (end - first) * SLOT_BYTES)
    cdef char *at = octets
    while first < end:
        memcpy(at, slot_of(row, first), SLOT_BYTES)
        at += SLOT_BYTES
        first += 1
    return octets
