from agent.tracking.table_cy cimport *

cdef enum:
    CELL_COUNT = 7
    CELL_DISCARDED = 8
    CELL_UNKNOWN = 16
    PATH_AT = 5
    PATH_MASK = 255
    ARRIVAL_AT = 13
    ARRIVAL_MASK = 524287
    COPY_UNITS = 611
    COPY_NS = 20000000
    MAX_LOSSES = 16
    GMIN = 16
    SILENCE_NS = 2000000000
    UNIT_SHIFT = 15

cdef class Losses(Table):
    cdef long long[::1] loss_start
    cdef long long[::1] loss_end
    cdef readonly long long losses

    cdef int lose_number(self, long long word, long long slot, long long count) except -1 nogil
    cdef int take_number(self, long long word, long long slot) except -1 nogil
    cdef int close_cluster(self, long long word, long long slot) except -1 nogil
    cdef int judge(self, long long word, long long slot, long long number) except -1 nogil
    cdef int judge_to(self, long long word, long long slot, long long number) except -1 nogil
    cdef int advance(self, long long word, long long slot, long long top, long long stamp_ns) except -1 nogil
    cdef int missed(self, long long start_ns, long long end_ns) except -1 nogil
    cdef int start_sequence(self, long long word, long long base) except -1 nogil
    cdef int end(self, long long row) except -1
    cdef int holds(self, long long slot) except -1 nogil
    cdef long long open_at(self, long long minute_start_ns) noexcept nogil
    cdef tuple take(self, long long slot)
