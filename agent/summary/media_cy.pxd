cimport cython
from agent.summary.direction_cy cimport DirectionFigures, MediaTotals
from agent.summary.heard_cy cimport CallMinute
from agent.tracking.minute_cy cimport ReportsMinute, StreamMinute

@cython.final
cdef class DirectionNames:
    cdef readonly str packets, bytes, rtcp_packets, rtcp_bytes, lost, jitter, lost_source, jitter_source
    cdef readonly str total, unknown, discarded, burst_density, gap_density, bursts

@cython.final
cdef class SideNames:
    cdef readonly str side, towards, away, rtt_metric, mos_metric, rtt, mos, rtt_source, mos_source
    cdef readonly str r, mos_wb, mos_worst, r_worst, end_to_end, far_end, relayed

cdef dict _DIRECTIONS, _BLANK
cdef SideNames _CUSTOMER, _REMOTE
cdef DirectionFigures _NONE

@cython.final
cdef class CallView:
    cdef readonly object owner, call
    cdef readonly CallMinute minute
    cdef readonly dict directions
    cdef readonly SideFigures customer, remote

    cdef DirectionFigures direction(self, SideNames side, bint towards)
    cpdef dict row(self, object connector, long long end_ns, long long until_ns, object identity)
    cpdef object add_to(self, MediaTotals totals)
    cdef dict totals(self)

@cython.final
cdef class SideFigures:
    cdef readonly SideNames names
    cdef readonly list legs
    cdef readonly DirectionFigures towards, away
    cdef readonly object mos, r, mos_wb, mos_worst, r_worst, mos_source
    cdef readonly object rtt_us, rtt_source, end_to_end_us, far_end, relayed

    cdef object judge(self, object call)
    cdef object time(self, object trips)
    cdef object put(self, object row)

cdef object put_direction(object row, DirectionNames its, DirectionFigures figures)
cdef bint is_relayed(object call, object legs) except -1
cdef double tenths(double value) noexcept
cdef double thousandths(double value) noexcept
