cimport cython
from agent.tracking.call_cy cimport Call
from agent.tracking.dialog_cy cimport Leg
from agent.tracking.offer_cy cimport Offers
from agent.tracking.stream_cy cimport Stream
from agent.tracking.streams_cy cimport Streams
from agent.wire.sdp_cy cimport Media as Section, Session

@cython.final
cdef class Media:
    cdef readonly Offers offers
    cdef readonly Streams streams
    cdef readonly object rejects
    cdef public long long missed_ns
    cdef public list open_minutes
    cdef object _loop, _observer, _departures, _references, _early
    cdef list _out
    cdef dict _reporting, _early_at, _other

    cpdef object describe(self, Leg leg, Session session, str passage)
    cdef object _replaced(self, Leg leg, Session session, str passage)
    cdef object _cut(self, list streams)
    cpdef object release(self, Leg leg)
    cpdef long long heard_ns(self, Call call)
    cdef object _claim_early(self, list sockets)
