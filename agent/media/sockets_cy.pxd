cimport cython
from agent.model.call_cy cimport Leg
from agent.wire.sdp.session_cy cimport MediaDescription, Session

@cython.final
cdef class SocketOwner:
    cdef readonly Leg leg
    cdef readonly tuple rtp
    cdef readonly list media
    cdef public long long until_ns

@cython.final
cdef class Description:
    cdef readonly list ours, far

@cython.final
cdef class MediaSockets:
    cdef object _sides, _named
    cdef dict _public, _ours, _far, _by_leg
    cdef dict _ours_before, _far_before, _withdrawn_of, _codecs_before
    cdef readonly dict descriptions

    cpdef list describe(self, Leg leg, Session session, str passage)
    cdef dict _claims(self, Leg leg, list[MediaDescription] medias, Session session)
    cdef object _forget(self, tuple socket)
    cpdef bint names(self, Leg leg, tuple socket) except -1
    cdef object _withdraw(self, tuple socket, Leg leg)
    cdef bint _is_far_end_of(self, tuple socket, Leg leg) except -1
    cdef list _sockets(self, MediaDescription media)
    cdef str _on_wire(self, str address)
    cpdef bint names_host(self, Leg leg, str host) except -1
    cpdef bint may_send(self, list[MediaDescription] medias, str address) except -1
    cdef bint _may_be(self, str named, str address) except -1
    cpdef object withdraw(self, Leg leg, MediaDescription media, long long now_ns)
    cdef object _keep_withdrawn(self, SocketOwner claim, tuple socket, str passage)
    cdef object _forget_withdrawn(self, Leg leg, tuple socket)
    cpdef object find_withdrawn(self, tuple src, tuple dst, long long first_ns)
    cdef list _take(self, Leg leg, dict claims, bint ours)
    cdef object _keep_codecs(self, Leg leg, list[MediaDescription] medias, bint ours)
    cpdef list codecs_of(self, Leg leg, bint ours)
    cdef list _claims_to(self, tuple socket, Leg leg, dict ours, dict far)
    cdef object _find(self, tuple src, tuple dst, dict ours, dict far)
    cpdef list earlier(self, Leg leg)
    cpdef object find(self, tuple src, tuple dst)
    cpdef list held(self, Leg leg)
    cpdef Py_ssize_t count(self, Leg leg) except -1
    cpdef list release(self, Leg leg)

cdef bint _is_taken(SocketOwner owner, Leg leg) except -1
cdef Session _session_of(list[MediaDescription] medias)
cdef tuple _group_of(MediaDescription media, Session session)
cdef frozenset _NOWHERE
cdef object _claim(dict claims, Leg leg, tuple socket, tuple rtp, MediaDescription media)
cdef bint _is_held(list[MediaDescription] medias) except -1
