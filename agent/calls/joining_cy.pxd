cimport cython
from agent.model.attempt_cy cimport Attempt
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg
from agent.wire.sip.message_cy cimport Message

@cython.final
cdef class Joiner:
    cdef readonly tuple headers
    cdef readonly long long ambiguous
    cdef readonly dict _keys, _keys_of
    cdef readonly object _apart
    cdef long long _window_ns
    cdef tuple _suffixes
    cdef object _recent, _transfers
    cdef bint _doubt

    cpdef Call join(self, Leg leg, Message message)
    cdef object _mark_joined(self, Leg leg, Call call)
    cdef Call _by_evidence(self, Leg leg, Message message, list[str] values)
    cdef Call _named(self, Leg leg, list[str] values)
    cdef Call _by_key(self, tuple key, Leg leg)
    cdef object _index(self, tuple key, Call call)
    cpdef Call named_in(self, Leg leg, Message message)
    cpdef object again(self, Leg leg)
    cpdef object retarget(self, Leg leg, object users)
    cpdef object redial(self, Leg leg, Message message)
    cpdef object move(self, Leg leg, Call call)
    cdef list _keys_for(self, Leg leg, Message message, list[str] values)
    cdef str _stripped(self, str call_id)
    cpdef list correlations(self, Message message)
    cdef Call _same_users(self, Leg leg)
    cdef bint _open_for(self, Call call, Leg leg) except -1
    cdef Call _waiting(self, Leg leg)
    cpdef object refer(self, Leg leg, str user, long long now_ns)
    cpdef Leg transferor(self, Leg leg, Message message)
    cdef object _remember(self, Leg leg, Call call)
    cpdef bint has_apart(self, long long since_ns, long long until_ns) except -1
    cpdef object forget(self, Call call)

cdef bint _fits(Call call, Leg leg) except -1
cdef bint _is_tried(Call call) except -1
cdef bint _is_from_a_party(Leg leg, Call call) except -1
cdef bint _is_alone(Call call) except -1
cpdef object _began_ns(Call call)
cdef list _callers(Leg leg)
cdef list _called(Leg leg)
cdef set _pairs(Leg leg)
cdef int _agreement(Leg one, Leg other) except -1
cdef int _calling(Leg one, Leg other) except -1
cdef list _known_callers(Leg leg)
cdef int _best(list[str] ones, list[str] others) except -1
