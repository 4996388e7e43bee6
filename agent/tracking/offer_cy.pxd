cimport cython
from agent.tracking.dialog_cy cimport Leg
from agent.wire.sdp_cy cimport Media, Session

@cython.final
cdef class Claim:
    cdef readonly Leg leg
    cdef readonly tuple rtp
    cdef readonly list media

@cython.final
cdef class Description:
    cdef readonly list ours, far

@cython.final
cdef class Offers:
    cdef object _sides
    cdef dict _public, _ours, _far, _by_leg
    cdef readonly dict descriptions

    cpdef list describe(self, Leg leg, Session session, str passage)
    cdef dict _claims(self, Leg leg, list[Media] medias, Session session)
    cdef object _withdraw(self, tuple socket, Leg leg)
    cdef bint _is_far_end_of(self, tuple socket, Leg leg) except -1
    cdef list _sockets(self, Media media)
    cdef str _on_wire(self, str address)
    cpdef bint may_send(self, list[Media] medias, str address) except -1
    cdef bint _may_be(self, str named, str address) except -1
    cpdef object withdraw(self, Leg leg, Media media)
    cpdef object find(self, tuple src, tuple dst)
    cpdef list release(self, Leg leg)

cdef tuple _group_of(Media media, Session session)
cdef object _claim(dict claims, Leg leg, tuple socket, tuple rtp, Media media)
cdef bint _is_held(list[Media] medias) except -1
