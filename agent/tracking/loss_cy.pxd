from agent.tracking.minute_cy cimport StreamMinute
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

    cdef void lose_number(self, Row row, Minute minute, long long count) noexcept nogil
    cdef void take_number(self, Row row, Minute minute) noexcept nogil
    cdef void close_cluster(self, Row row, Minute minute) noexcept nogil
    cdef void judge(self, Row row, Minute minute, long long number) noexcept nogil
    cdef void judge_to(self, Row row, Minute minute, long long number) noexcept nogil
    cdef int advance(self, Row row, Minute minute, long long top, long long last_ns, long long stamp_ns) except -1 nogil
    cdef int missed(self, long long start_ns, long long end_ns) except -1 nogil
    cdef void start_sequence(self, Row row, long long base) noexcept nogil
    cdef void end(self, Row row) noexcept nogil
    cdef int is_odd(self, long long minute_start_ns) noexcept nogil
    cdef bint holds(self, Minute minute) noexcept nogil
    cdef void move_on(self, Minute here, Minute there) noexcept nogil
    cdef StreamMinute take(self, long long number, Row row, Minute minute, long long minute_start_ns)
