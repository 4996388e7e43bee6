cimport cython
from agent.model.call_cy cimport Call
from agent.calls.table_cy cimport CallTable
from agent.model.call_cy cimport Dialog, Leg
from agent.model.attempt_cy cimport Attempt
from agent.wire.sip.message_cy cimport Message

@cython.final
@cython.no_gc
cdef class Route:
    cdef readonly str passage, peer, by_caller, by_callee
    cdef readonly tuple place
    cdef readonly bint seen

@cython.final
cdef class Signalling(CallTable):
    cdef readonly object suspects, ends
    cdef dict _routes

    cpdef object take(self, Message message, str src, str dst, long long now_ns)
    cdef Route _route(self, str src, str dst)
    cdef Leg _leg_of(self, Message message, Route route, str src, long long now_ns)
    cdef Leg _begin(self, Message message, Route route, str src, long long now_ns)
    cdef Leg _resume(self, Message message, Route route, long long now_ns)
    cdef Leg _new_leg(self, Message message, str from_tag, object way, Route route, long long now_ns)
    cdef Leg _replaced(self, Message message)
    cdef object _request(self, Leg leg, Message message, long long now_ns)
    cdef object _bye(self, Leg leg, Message message, long long now_ns)
    cdef object _proves_answer(self, Leg leg, Message message, long long now_ns)
    cdef object _response(self, Leg leg, Message message, long long now_ns)
    cdef object _session(self, Leg leg, Message message, long long now_ns)
    cdef object _attempted(self, Leg leg, Attempt attempt, Message message, long long now_ns)
    cdef object _describe(self, Leg leg, Message message, object passage)
    cdef object _exchange(self, Message message, object connector, long long now_ns)

cdef bint _is_another(Leg leg, Message message) except -1
cdef bint _is_in_dialog(Message message) except -1
