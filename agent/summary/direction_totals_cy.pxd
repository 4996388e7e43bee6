cimport cython
from agent.model.stream_minute_cy cimport StreamMinute

@cython.final
@cython.no_gc
cdef class DirectionFigures:
    cdef public long long packets, bytes, rtcp_packets, rtcp_bytes
    cdef public long long streams, known, known_lost, known_packets
    cdef public long long unknown, discarded
    cdef public long long ssrc_gap, timebase_changes
    cdef public bint clock_rate_mismatch, twice
    cdef public long long burst_packets, burst_lost, gap_packets, gap_lost, bursts
    cdef public list jitters_us
    cdef public double jitter_sum
    cdef public long long jitter_packets
    cdef public object lost_source, jitter_source
    cdef public long long scored, wide
    cdef public double mos_sum, r_sum, wide_sum
    cdef public long long first_ns, last_ns
    cdef public str codec
    cdef public long long codec_packets
    cdef public double packet_ms
    cdef public bint assumed, unnamed, codec_assumed
    cdef public str buffer
    cdef public tuple peer
    cdef public long long peer_packets
    cdef public list stream_minutes, runs, delays
    cdef public bint measured

    cpdef object lost(self)
    cpdef object add(self, StreamMinute stream)
    cdef object add_reports(self, long long packets, long long size)
    cdef object join(self, DirectionFigures other)
    cdef object judge(self, StreamMinute stream, object score)
    cdef object count_histograms(self, StreamMinute stream)

@cython.final
cdef class MediaTotals:
    cdef dict sums, sampled

    cpdef object add(self, str direction, DirectionFigures figures)
    cpdef object sample(self, str metric, double value)
