from agent.model.stream_minute_cy cimport StreamMinute
from agent.media.rtp.stream_table_cy cimport *
from agent.media.rtp.timeline_cy cimport Timelines
from agent.wire.ip.packet_cy cimport COPY_NS

cdef enum:
    # A cell of the window (loss_cy.py has its layout).
    CELL_COUNT = 7
    CELL_DISCARDED = 8
    CELL_UNKNOWN = 16
    TAG_AT = 5
    TAG_MASK = 2047
    IDENTIFIED = 1024
    ARRIVAL_AT = 16
    ARRIVAL_MASK = 65535
    UNIT_SHIFT = 17  # arrivals are in units of 2**17 ns
    COPY_UNITS = 153  # COPY_NS in these
    MAX_LOSSES = 16  # intervals remembered in which the capture missed frames
    GMIN = 16  # RFC 3611 4.7.2
    SILENCE_NS = 2000000000  # after that long without a packet what is open is judged
    MAX_SIBLINGS = 16  # SSRCs between the same two sockets that a time line has
    STANDS_IN = 8  # packets with which another SSRC is taken to have sent in the place of a silent one

cdef class Losses(Timelines):
    cdef long long[::1] loss_start
    cdef long long[::1] loss_end
    cdef readonly long long losses

    cdef void lose_number(self, StreamRow row, MinuteRow minute, long long count) noexcept nogil
    cdef void take_number(self, StreamRow row, MinuteRow minute) noexcept nogil
    cdef void close_cluster(self, StreamRow row, MinuteRow minute) noexcept nogil
    cdef void end_run(self, StreamRow row, MinuteRow minute) noexcept nogil
    cdef inline long long came_ns(self, StreamRow row, unsigned int cell) noexcept nogil
    cdef inline unsigned int arrival(self, StreamRow row, long long stamp_ns) noexcept nogil
    cdef double packet_ns(self, StreamRow row) noexcept nogil
    cdef tuple runs_of(self, RareRow rare)
    cdef tuple delays_of(self, RareRow rare)
    cdef void judge(self, StreamRow row, MinuteRow minute, long long number) noexcept nogil
    cdef void judge_to(self, StreamRow row, MinuteRow minute, long long number) noexcept nogil
    cdef int advance(self, StreamRow row, MinuteRow minute, long long top, long long last_ns, long long stamp_ns) except -1 nogil
    cdef int was_replaced(self, StreamRow row, long long last_ns, long long stamp_ns) except -1 nogil
    cdef double sent_ns(self, StreamRow row) noexcept nogil
    cdef void leap(self, StreamRow row, MinuteRow minute, long long top) noexcept nogil
    cdef tuple types_of(self, StreamRow row, MinuteRow minute)
    cdef int missed(self, long long start_ns, long long end_ns) except -1 nogil
    cdef void start_sequence(self, StreamRow row, long long base) noexcept nogil
    cdef void end(self, StreamRow row) noexcept nogil
    cdef int is_odd(self, long long minute_start_ns) noexcept nogil
    cdef bint holds(self, MinuteRow minute) noexcept nogil
    cdef void move_on(self, MinuteRow minute, MinuteRow following) noexcept nogil
    cdef void move_rare(self, RareRow minute, RareRow following) noexcept nogil
    cdef StreamMinute take(self, long long number, StreamRow row, MinuteRow minute, long long minute_start_ns)
