cimport cython
from agent.summary.direction_totals_cy cimport DirectionFigures, MediaTotals
from agent.summary.call_minute_cy cimport CallMinute
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg, LegMediaTotals
from agent.summary.timeline_cy cimport timeline

@cython.final
cdef class DirectionNames:
    cdef readonly str direction
    cdef readonly str packets, bytes, rtcp_packets, rtcp_bytes, lost, jitter, lost_source, jitter_source
    cdef readonly str total, known, unknown, discarded, burst_density, gap_density, bursts, ssrc_gap, timebase_changes
    cdef readonly str loss_runs, late_histogram, timeline

@cython.final
cdef class SideNames:
    cdef readonly str side, short, rtt_metric, mos_metric, rtt, mos, rtt_source, mos_source
    cdef readonly str r, mos_wb, mos_worst, r_worst, end_to_end, far_end, relayed, codec_assumed
    cdef readonly str rtt_timeline
    cdef readonly DirectionNames to_vc, away

cdef DirectionFigures _NOTHING

@cython.final
@cython.no_gc
cdef class SideFigures:
    cdef readonly SideNames names
    cdef readonly list legs
    cdef readonly DirectionFigures to_vc, away
    cdef readonly long long scored, wide
    cdef readonly double mos, r, mos_wb, mos_worst, r_worst
    cdef readonly list flags
    cdef readonly object mos_source, rtt_us, rtt_source, rtt_slots, end_to_end_us, far_end, relayed

    cdef DirectionFigures direction(self, bint to_vc)
    cdef object finish(self, CallMinute heard)
    cdef object judge(self, Call call)
    cdef object time(self, list trips)
    cdef object hear(self, list far_ends)
    cdef bint some(self) noexcept
    cdef object count(self, LegMediaTotals totals)
    cpdef object add_to(self, MediaTotals totals)
    cdef object put(self, dict row, int watched)
    cdef object put_directions(self, dict row)

cdef bint is_relayed(list all_legs, list legs) except -1
cdef object count_lost(LegMediaTotals totals, DirectionNames its, DirectionFigures figures)
cdef object count_heard(LegMediaTotals totals, DirectionNames its, DirectionFigures figures)
cdef tuple alone(dict heard, str codec)
cdef object put_direction(dict row, DirectionNames its, DirectionFigures figures, int watched)
cdef object put_count(dict row, str name, long long count)
cdef object density(long long lost, long long packets)
cdef double tenths(double value) noexcept
cdef double thousandths(double value) noexcept
