cimport cython
from agent.media.rtp.loss_cy cimport SILENCE_NS
from agent.model.call_cy cimport Leg
from agent.media.stream_score_cy cimport Measure
from agent.media.sockets_cy cimport SocketOwner, Description, MediaSockets
from agent.media.stream_index_cy cimport IdQueue, StreamIndex
from agent.model.stream_minute_cy cimport StreamMinute
from agent.model.call_cy cimport Stream

@cython.final
cdef class Streams:
    cdef object _loop, _observer
    cdef MediaSockets _sockets
    cdef Measure _measure
    cdef StreamIndex _found
    cdef dict _codecs
    cdef set _reported, _news
    cdef readonly object evidence
    cdef IdQueue _strays
    cdef dict _strangers
    cdef long long _map_sweeps
    cdef readonly long long evicted
    cdef long long _share
    cdef public bint shedding
    cdef readonly object orphans, unsignalled, surplus
    cdef public object crowded, flooded
    cdef public list taken_over

    cpdef list claimed(self, list sockets, object minutes)
    cpdef object described(self, Leg leg)
    cpdef Stream get(self, long long stream_id)
    cpdef Stream accepted(self, long long stream_id, object clean=*)
    cdef bint _is_left_alone(self, long long stream_id, tuple src, tuple dst) except -1
    cdef object _stray(self, long long stream_id)
    cdef Stream _forget(self, long long stream_id)
    cdef object _leave_alone(self, Stream stream)
    cdef object _thin(self, Leg leg)
    cdef object _admit(self, Stream stream, SocketOwner claim, object to_vc)
    cdef object _readmit(self, Stream stream)
    cdef object _expel(self, Stream stream)
    cpdef object weed(self, object streams)
    cdef list _weed_passing(self, Leg leg)
    cdef object _judge(self, list[StreamMinute] counted)
    cdef object _link(self, Stream stream)
    cdef bint _is_of_another(self, Stream stream, SocketOwner claim, object to_vc) except -1
    cdef bint _is_named(self, Stream stream, Description description) except -1
    cdef object _attach(self, Stream stream, SocketOwner claim, object to_vc)
    cdef object _section(self, Stream stream, list medias)
    cdef tuple _codecs_of(self, str kind, list medias)
    cdef object _detach(self, Stream stream)
