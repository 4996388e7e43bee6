cimport cython
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg
from agent.media.sockets_cy cimport MediaSockets
from agent.model.call_cy cimport Stream
from agent.media.streams_cy cimport Streams
from agent.wire.sdp.session_cy cimport MediaDescription, Session

cdef dict _USUAL

@cython.final
cdef class LegMedia:
    cdef readonly MediaSockets sockets
    cdef readonly Streams streams
    cdef readonly object rejects, unsignalled
    cdef public long long missed_ns
    cdef public list open_minutes
    cdef object _loop, _rtcp
    cdef list _out
    cdef dict _other
    cdef long long _evicted, _refused

    cpdef object describe(self, Leg leg, Session session, str passage)
    cdef object _replaced(self, Leg leg, Session session, str passage)
    cdef object _emit(self, list streams, list reports=*)
    cpdef object release(self, Leg leg)
    cpdef long long last_rtp_ns(self, Call call)
    cpdef long long leg_last_rtp_ns(self, Leg leg)
