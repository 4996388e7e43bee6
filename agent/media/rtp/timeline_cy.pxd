from agent.media.rtp.stream_table_cy cimport *

cdef enum:
    JITTER_UNIT_US = 10
    GAP_UNIT_NS = 1000000
    KEPT_ZERO = 1  # a figure of 0, where 0 itself stands for none

cdef class Timelines(Table):
    cdef long long slot_ns

    cdef SlotRow slot(self, StreamRow row, long long number) noexcept nogil
    cdef void enter(self, StreamRow row, MinuteRow minute, long long number) noexcept nogil
    cdef void leave(self, StreamRow row, MinuteRow minute) noexcept nogil
    cdef SlotRow charged(self, StreamRow row, MinuteRow minute, long long at_ns) noexcept nogil
    cdef void lose_at(self, StreamRow row, MinuteRow minute, long long at_ns, long long count) noexcept nogil
    cdef void be_late_at(self, StreamRow row, MinuteRow minute, long long at_ns) noexcept nogil
    cdef void lose_between(self, StreamRow row, MinuteRow minute, long long count, long long at_ns, long long step_ns, long long start_ns) noexcept nogil
    cdef void note_gap(self, StreamRow row, long long last_ns, long long stamp_ns) noexcept nogil
    cdef inline void note_part(self, SlotRow slot, long long part_ns) noexcept nogil
    cdef void forget_slots(self, StreamRow row) noexcept nogil
    cdef void carry_slots(self, StreamRow row, MinuteRow following, long long first) noexcept nogil
    cdef bytes taken_slots(self, StreamRow row, MinuteRow minute, long long minute_start_ns)
