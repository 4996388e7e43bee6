cimport cython
from agent.model.call_cy cimport Leg

@cython.final
@cython.no_gc
cdef class StreamMinute:
    cdef public int id
    cdef public long long stamp_ns, ssrc, payload_type, clock_rate, step, first_ns, last_ns
    cdef public Leg leg
    cdef public object to_vc
    cdef public tuple src, dst
    cdef public str codec
    cdef public long long packets, bytes
    cdef public object lost
    cdef public long long unknown, duplicates, reordered, discarded, gaps, judged, loss_runs
    cdef public object jitter_us
    cdef public double jitter_sum_us, jitter_max_us
    cdef public long long jitter_count
    cdef public object lost_source, jitter_source, score
    cdef public double weight, burst_ratio, packet_ms
    cdef public bint assumed, audio, named, is_over, clock_rate_mismatch
    cdef public tuple by_type, runs, delays
    cdef public bytes slots
    cdef public list reported_slots
    cdef public long long burst_packets, burst_lost, gap_packets, gap_lost, bursts, ssrc_gap, timebase_changes

    cpdef bint comes_twice(self) except -1

@cython.final
@cython.no_gc
cdef class ReportsMinute:
    cdef public long long stamp_ns, packets_towards, bytes_towards, packets_away, bytes_away
    cdef public Leg leg
