cimport cython
from agent.summary.direction_totals_cy cimport DirectionFigures, MediaTotals
from agent.summary.call_minute_cy cimport CallMinute
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg, LegMediaTotals
from agent.summary.timeline_cy cimport timeline

cdef int JITTER_BUFFER, MOS_DIRECTIONS

@cython.final
cdef class DirectionPlaces:
    cdef readonly str direction
    cdef readonly int packets, bytes, rtcp_packets, rtcp_bytes, lost, jitter, lost_source, jitter_source
    cdef readonly int total, known, unknown, discarded, burst_density, gap_density, bursts, ssrc_gap
    cdef readonly int timebase_changes
    cdef readonly int loss_runs, late_histogram, timeline

@cython.final
cdef class SidePlaces:
    cdef readonly str side, short, rtt_metric, mos_metric
    cdef readonly int rtt, mos, rtt_source, mos_source, r, mos_wb, mos_worst, r_worst, end_to_end, far_end
    cdef readonly int relayed, codec_assumed, rtt_timeline
    cdef readonly DirectionPlaces to_vc, away

cdef DirectionFigures _NOTHING

@cython.final
@cython.no_gc
cdef class SideFigures:
    cdef readonly SidePlaces places
    cdef readonly list legs
    cdef readonly DirectionFigures to_vc, away
    cdef readonly long long scored, wide
    cdef readonly double mos, r, mos_wb, mos_worst, r_worst
    cdef readonly list flags
    cdef readonly object mos_source, rtt_us, rtt_source, rtt_slots, end_to_end_us, far_end, relayed

    cdef DirectionFigures direction(self, bint to_vc)
    cdef object finish(self, CallMinute call_minute)
    cdef object judge(self, Call call)
    cdef object time(self, list trips)
    cdef object hear(self, list far_ends)
    cdef bint some(self) noexcept
    cdef object count(self, LegMediaTotals totals)
    cpdef object add_to(self, MediaTotals totals)
    cdef object put(self, list row, int watched)
    cdef object put_directions(self, list row)

cdef bint is_relayed(list all_legs, list legs) except -1
cdef object count_lost(LegMediaTotals totals, DirectionPlaces places, DirectionFigures figures)
cdef object count_scores(LegMediaTotals totals, DirectionPlaces places, DirectionFigures figures)
cdef tuple alone(dict heard, str codec)
cdef object put_direction(list row, DirectionPlaces places, DirectionFigures figures, int watched)
cdef object put_count(list row, int at, long long count)
cdef object density(long long lost, long long packets)
cdef double tenths(double value) noexcept
cdef double thousandths(double value) noexcept
