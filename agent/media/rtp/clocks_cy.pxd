from agent.media.rtp.loss_cy cimport *
from agent.media.rtp.stream_table_cy cimport *

cdef enum:
    # Kinds of payload types, as agent/wire/rtp/payload_types.py numbers them.
    OTHER_TYPE = 0
    EVENT = 2
    COMFORT = 3
    VIDEO = 4
    REDUNDANT = 5
    REPAIR = 6

    TYPES = 128
    MAX_MAPS = 4096
    SWEEP_EVERY = 256  # maps refused before it is looked again whether one is in use no more

    TICK_SHIFT = 20  # times of a row are in units of 2**20 ns
    SECOND = 954  # ... a second, rounded up
    DELAY_US = 50000  # a packet that is later by so much counts in `delays`
    STEADY_US = 60000  # a delay is steady while it changes by no more
    SUSPECT = 255  # `late_run`: a stall, or a clock that stood, and the next packet tells
    AFTER_EVENT = 2  # `referenced`: the next packet of another timestamp is a reference
    MARKED = 3  # ... the reference has the marker bit
    AFTER_OTHER = 4  # ... the packet before was of a type that no SDP names
    MAX_SPAN = 30000  # in which timestamps may have gone round
    RATE_BITS = 24  # of a guess; above them: how many spans before showed the same
    RATE_MASK = 0xFFFFFF
    ODD_SPANS = 3  # so many spans before must show a rate that is not a usual one

cdef extern from *:
    """
    #define SBCWATCH_TS_HALF 0x80000000LL
    #define SBCWATCH_TS_WRAP 0x100000000LL
    """
    const long long TS_HALF "SBCWATCH_TS_HALF"
    const long long TS_WRAP "SBCWATCH_TS_WRAP"

cdef class Clocks(Losses):
    cdef long long[::1] maps
    cdef dict map_ids
    cdef list free_maps
    cdef readonly long long map_sweeps, refused_maps

    cdef void count_delay(self, MinuteRow minute, double excess_us) noexcept nogil
    cdef void new_base(self, StreamRow row, MinuteRow minute) noexcept nogil
    cdef int jump(self, StreamRow row, MinuteRow minute, long long stamp_ns, long long step, double off_us) noexcept nogil
    cdef int late(self, StreamRow row, MinuteRow minute, long long stamp_ns, double step_us, double off_us) noexcept nogil
    cdef int settle(self, StreamRow row, MinuteRow minute, long long stamp_ns, long long ts, long long payload_type) except -1 nogil
    cdef void use_codec(self, StreamRow row, MinuteRow minute, long long codec, long long payload_type) noexcept nogil
    cdef void count_rest(self, MinuteRow minute, long long payload_type, long long newest) noexcept nogil
    cdef void count_type(self, MinuteRow minute, long long payload_type, long long packets) noexcept nogil
    cdef long long measured_rate(self, StreamRow row, long long stamp_ns, long long ts) noexcept nogil
    cdef long long shown_rate(self, StreamRow row, double seen) noexcept nogil
    cdef long long usual_rate(self, double seen) noexcept nogil
    cdef int check_clock(self, StreamRow row, long long stamp_ns, long long ts) noexcept nogil
    cdef void forget_timing(self, MinuteRow minute) noexcept nogil
