cimport cython
from agent.model.call_cy cimport Call, CountedAttempt
from agent.calls.table_cy cimport CallTable
from agent.model.call_cy cimport Dialog, Leg
from agent.model.attempt_cy cimport Attempt
from agent.wire.sdp.session_cy cimport condensed_size, parse
from agent.wire.sip.message_cy cimport Message

@cython.final
@cython.no_gc
cdef class Route:
    cdef readonly str passage, peer, by_caller, by_callee
    cdef readonly tuple place
    cdef readonly bint seen, to_vc, away, internal
    cdef public bint asked

@cython.final
cdef class Signalling(CallTable):
    cdef readonly object suspects, ends
    cdef dict _routes
    cdef object _vc_asks_ns
    cdef object _early, _unproven

    cpdef object take(self, Message message, str src, str dst, long long now_ns)
    cdef object _ask(self, Route route, str src, str dst, long long now_ns)
    cdef int _responder(self, Message message, Leg leg, Route route, str src, long long now_ns) except -1
    cdef object _apart(self, Leg leg, long long now_ns)
    cdef object _take_place(self, Leg leg, Leg replaced)
    cdef object _replace(self, Leg leg)
    cdef int _trust(self, Leg leg, Route route, str src) except -1
    cdef object _take_up(self, Leg leg, Message message, Route route, long long now_ns)
    cdef bint _is_asked(self, Leg leg, Message message, str src, bint believed, long long now_ns) except -1
    cdef bint _may_repeat(self, Leg leg, Route route, str src) except -1
    cdef Route _route(self, str src, str dst)
    cdef Leg _leg_of(self, Message message, Route route, str src, long long now_ns)
    cdef Leg _begin(self, Message message, Route route, str src, long long now_ns)
    cdef Message _early_answer(self, Message message, long long now_ns)
    cdef Leg _retried(self, Message message, Route route)
    cdef Leg _record(self, Leg leg, long long now_ns)
    cdef Leg _resume(self, Message message, Route route, long long now_ns)
    cdef Leg _new_leg(self, Message message, str from_tag, object way, Route route, long long now_ns)
    cdef Leg _replaced(self, Message message)
    cdef Call _passed_before(self, Leg leg, Message message, str src)
    cdef object _request(self, Leg leg, Message message, bint known, long long now_ns)
    cdef bint _is_repeated(self, Leg leg, Attempt attempt, Message message, long long now_ns) except -1
    cdef object _bye(self, Leg leg, Message message, bint known, long long now_ns)
    cdef object _end_dialog(self, Leg leg, Dialog dialog, long long now_ns)
    cdef object _bye_answered(self, Leg leg, Message message, long long now_ns)
    cdef object _recording_answered(self, Leg leg, long long status, long long now_ns)
    cdef object _join_by(self, Leg leg, Message message, long long now_ns)
    cdef object _proves_answer(self, Leg leg, Message message, long long now_ns)
    cdef object _response(self, Leg leg, Message message, long long now_ns)
    cdef object _session(self, Leg leg, Message message, long long now_ns)
    cdef object _attempted(self, Leg leg, Attempt attempt, Message message, long long now_ns)
    cdef object _describe(self, Leg leg, Message message, object passage)
    cdef object _exchange(self, Message message, object connector, long long now_ns)

cdef int _VC, _ANSWERED, _CONNECTOR, _UNKNOWN
cdef tuple _MAY_CHANGE_DIALOG, _MAY_REPEAT, _MAY_COUNT, _MAY_REPLACE
cdef object _TELLING, _OFFERING
cdef tuple _STATISTICS
cdef bint _may_tell(Message message) except -1
cdef int _newcomer(Call call, Leg leg, str src) except -1
cdef object _turn_to(Leg leg, str address)
cdef bint _is_counted(Call call) except -1
cdef tuple _named(Message message, str header)
cdef bint _is_recording(Message message) except -1
cdef bint _is_another(Leg leg, Message message) except -1
cdef bint _has_one_of(Attempt attempt, list[str] branches) except -1
cdef bint _is_in_dialog(Message message) except -1
