cimport cython
from agent.tracking.dialog_cy cimport Leg
from agent.tracking.measure_cy cimport Measure
from agent.tracking.offer_cy cimport Claim, Description, Offers
from agent.tracking.stream_cy cimport Found, Stream

@cython.final
cdef class Streams:
    cdef object _loop, _observer
    cdef Offers _offers
    cdef Measure _measure
    cdef Found _found
    cdef dict _codecs
    cdef set _told
    cdef long long _judged_ns
    cdef public bint shedding
    cdef readonly object unexplained

    cpdef list claimed(self, list sockets, object minutes)
    cpdef object described(self, Leg leg)
    cpdef Stream get(self, long long stream_id)
    cpdef Stream fresh(self, long long stream_id, object clean=*)
    cdef bint _is_named(self, Stream stream, Description description) except -1
    cdef object _attach(self, Stream stream, Claim claim, object towards)
    cdef object _section(self, Stream stream, list medias)
    cdef tuple _codecs_of(self, str kind, list medias)
    cdef object _detach(self, Stream stream)
