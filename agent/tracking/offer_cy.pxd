cimport cython
from agent.tracking.dialog_cy cimport Leg

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
    cdef dict _ours, _far, _by_leg
    cdef readonly dict descriptions

    cpdef list describe(self, Leg leg, object session, str passage)
    cdef dict _claims(self, Leg leg, list medias, object session)
    cdef object _withdraw(self, tuple socket, Leg leg)
    cdef bint _is_far_end_of(self, tuple socket, Leg leg) except -1
    cdef list _sockets(self, object media)
    cpdef object withdraw(self, Leg leg, object media)
    cpdef object find(self, tuple src, tuple dst)
    cpdef list release(self, Leg leg)

cdef tuple _group_of(object media, object session)
cdef object _claim(dict claims, Leg leg, tuple socket, tuple rtp, object media)
cdef bint _is_held(list medias) except -1
