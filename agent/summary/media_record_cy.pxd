cimport cython
from agent.summary.direction_totals_cy cimport DirectionFigures, MediaTotals
from agent.summary.media_flags_cy cimport flag_side
from agent.summary.call_minute_cy cimport CallMinute
from agent.summary.call_row_cy cimport joined
from agent.summary.side_totals_cy cimport SideFigures
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg
from agent.model.stream_minute_cy cimport ReportsMinute, StreamMinute

cdef dict _TOTALS
cdef list _FIGURES, _EXTRAS

cpdef list views(CallMinute call_minute, bint vc_seen=*)

@cython.final
@cython.no_gc
cdef class CallView:
    cdef readonly Leg owner
    cdef readonly CallMinute call_minute
    cdef readonly SideFigures customer, remote

    cpdef dict remotes(self)
    cdef str codec(self)
    cdef dict peers(self)
    cpdef list row(self, object connector, long long end_ns, long long until_ns, object identity, int watched, bint is_second=*)
    cpdef object add_to(self, MediaTotals totals)
