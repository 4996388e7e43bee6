cimport cython
from agent.summary.direction_totals_cy cimport DirectionFigures, MediaTotals
from agent.summary.media_flags_cy cimport flag_side
from agent.summary.call_minute_cy cimport CallMinute
from agent.summary.call_row_cy cimport joined
from agent.summary.side_totals_cy cimport SideFigures
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg
from agent.model.stream_minute_cy cimport ReportsMinute, StreamMinute

cdef dict _BLANK, _TOTALS

cpdef list views(CallMinute heard, bint vc_seen=*)

@cython.final
@cython.no_gc
cdef class CallView:
    cdef readonly Leg owner
    cdef readonly CallMinute heard
    cdef readonly SideFigures customer, remote

    cpdef dict remotes(self)
    cdef object name(self, dict row, object connector, object identity, bint is_second)
    cpdef dict row(self, object connector, long long end_ns, long long until_ns, object identity, int watched, bint is_second=*)
    cpdef object add_to(self, MediaTotals totals)
