cimport cython
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg
from agent.wire.sip.message_cy cimport Message

@cython.final
cdef class Joiner:
    cdef readonly tuple headers
    cdef readonly long long ambiguous
    cdef readonly dict _keys, _keys_of
    cdef long long _window_ns
    cdef tuple _suffixes
    cdef object _recent

    cpdef Call join(self, Leg leg, object correlations)
    cdef list _keys_for(self, Leg leg, object correlations)
    cpdef list correlations(self, Message message)
    cdef list _same_users(self, Leg leg)
    cdef bint _open_for(self, Call call, Leg leg) except -1
    cdef object _remember(self, Leg leg, Call call)
    cpdef object forget(self, Call call)

cdef bint _fits(Call call, Leg leg) except -1
cdef set _users(Leg leg)
cdef str _user(str user)
cdef str _icid(str value)
