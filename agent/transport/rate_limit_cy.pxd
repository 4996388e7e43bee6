cimport cython
from agent.transport.peers_cy cimport Peers, is_taken_up
from agent.transport.sampled_sources_cy cimport SampledSources

cdef long long _SECOND_NS, _MAX_BITS

@cython.final
@cython.no_gc
cdef class SourceTraffic:
    cdef long long offered, taken, room, answered

@cython.final
@cython.no_gc
cdef class SampledSource:
    cdef long long second, bits, held, busy, messages, shed
    cdef SourceTraffic to_it, from_it
    cdef str scanner
    cdef bint agent_read

@cython.final
cdef class RateLimit:
    cdef public long long rate
    cdef public bint strained
    cdef readonly long long shed, evicted
    cdef public Peers peers
    cdef readonly object invite
    cdef long long _taken_shed, _aged, _returned, _second
    cdef SampledSources _sampled
    cdef object _sources
    cdef SampledSource _strangers

    cpdef bint takes(self, str peer, bint to_vc, bytes data, long long now_ns, str vc=*) except -1
    cdef object _leave_out(self, long long count)
    cdef bint _admits(self, SampledSource source, bint to_vc, bytes data, long long weight, long long rate) except -1
    cdef object _answer(self, bytes data, long long second)
    cdef SampledSource _begin(self, str peer)
    cdef object _count(self, str peer, SampledSource source)
    cdef object _begin_second(self, str peer, SampledSource source, long long second)
    cdef object _resample(self, SampledSource source, long long second, long long rate)

cdef long long _weight(bytes data) except -1
