cimport cython
from agent.media.rtp.jitter_cy cimport *
from agent.media.rtp.named_sockets_cy cimport NamedSockets
from agent.media.rtp.stream_table_cy cimport *
from agent.wire.frame cimport CAPTURED, OFFSET, ORIGIN, STAMP, STRIDE, WIRE
from agent.wire.ip.decoder_cy cimport *

cdef enum:
    # Why a walk stops.
    END = 0
    DUE = 1
    SLOW = 2
    STREAM = 3

    MAX_DROPOUT = 3000  # RFC 3550 A.1
    MAX_MISORDER = 100
    MAX_PATHS = 255
    BAD_RTP = 8  # in `reasons`

    # `stray` of a row.
    NONE = 0
    STRAY = 1
    REBASE = 2
    FIRST = 3
    REPEATED = 4  # the newest packets had numbers that came before; `bad_cell` has how many, and when
    RESUMED = 5  # as REBASE, unless the next packet has the next number

    REPEATS = 8  # so many in a row, as slowly as they came at first, are a restart
    REPEATS_MASK = 15

    LOOK_AHEAD = 12
    TOUCH_AHEAD = 6
    MANY_STREAMS = 4096
    MAX_BEGUN = 512  # streams that one `process` may accept

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define sbcwatch_prefetch(p) __builtin_prefetch(p)
    #else
    #define sbcwatch_prefetch(p) ((void)(p))
    #endif
    """
    void prefetch "sbcwatch_prefetch"(const void *at) nogil

@cython.final
cdef class Loop(Jitter):
    cdef readonly int stopped
    cdef object held, held_index
    cdef long long[::1] open_index
    cdef readonly long long new_stream, position, ignored, late_frames, duplicate_frames
    cdef readonly bint single_span
    cdef Decoder decoder
    cdef readonly NamedSockets named
    cdef long long[::1] reasons
    cdef long long[::1] paths
    cdef long long known_paths, last_path, last_path_id
    cdef long long slot_from, slot_to, headers
    cdef unsigned int slot_now
    cdef int odd_now

    cdef unsigned long long[::1] seen
    cdef long long[::1] accepted
    cdef long long n_accepted, kept
    cpdef long long walk(self, object data, object index, long long position, long long until_ns)
    cdef int process_frames(self, long long[::1] index, long long position, long long kept, long long until_ns) except -1
    cdef int look(self, long long position, long long offset, long long captured) except -1 nogil
    cdef int touch(self, long long position) except -1 nogil
    cdef int frames(self, long long[::1] index, long long position, long long until_ns) except -1
    # `inline`: each is called from one or two places, and its registers are a tenth of a packet's cost.
    cdef inline int frame(self, long long offset, long long captured, long long wire, long long stamp_ns, long long origin, long long until_ns) except -1 nogil
    cdef inline int rtp(self, long long stamp_ns) except -1 nogil
    cdef int is_named_rtp(self) except -1 nogil
    cdef int is_rtcp_chain(self) except -1 nogil
    cdef int is_stream(self, StreamRow row, long long seq) except -1 nogil
    cdef int has(self, StreamRow row, long long seq) noexcept nogil
    cdef int probe(self, StreamRow row, long long seq, long long second) except -1 nogil
    cdef void forget(self, MinuteRow minute) noexcept nogil
    cdef inline int count(self, StreamRow row, long long stamp_ns, long long seq, long long ts, long long second) except -1 nogil
    cdef int is_copy(self, StreamRow row, long long stamp_ns, long long seq, long long delta) except -1 nogil
    cdef int admitted(self, StreamRow row, MinuteRow minute, long long stamp_ns, long long seq, long long delta, long long last_ns) except -1 nogil
    cdef int is_skip(self, StreamRow row, long long stamp_ns, long long delta) except -1 nogil
    cdef int goes_back(self, StreamRow row, long long stamp_ns, long long seq) except -1 nogil
    cdef void begin_again(self, StreamRow row, MinuteRow minute, long long seq) noexcept nogil
    cdef inline int slide(self, StreamRow row, MinuteRow minute, unsigned int leaving) noexcept nogil
    cdef void restart(self, StreamRow row, MinuteRow minute, long long base) noexcept nogil
    cdef inline unsigned int tagged(self, StreamRow row, long long stamp_ns) except? 0 nogil
    cdef unsigned int again(self, StreamRow row, long long stamp_ns, unsigned int cell) except? 0 nogil
    cdef int copied(self, StreamRow row, long long stamp_ns, unsigned int cell) except -1 nogil
    cdef inline int tag(self) except -1 nogil
    cdef inline int path_id(self) except -1 nogil
    cdef inline MinuteRow minute_now(self, StreamRow row, long long stamp_ns) noexcept nogil
    cdef void next_slot(self, StreamRow row, MinuteRow minute) noexcept nogil
    cdef int pause(self, StreamRow row, MinuteRow minute, long long last_ns, long long stamp_ns) except -1 nogil
