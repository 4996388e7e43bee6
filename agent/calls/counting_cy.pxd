cimport cython
from agent.model.call_cy cimport CountedAttempt, Call
from agent.calls.joining_cy cimport Joiner
from agent.calls.timers_cy cimport Timers
from agent.model.call_cy cimport Dialog, Leg
from agent.model.attempt_cy cimport Attempt
from agent.wire.sip.message_cy cimport Message

@cython.final
cdef class Counting:
    cdef object _rules, _sides, _counters, _decided
    cdef Timers _timers
    cdef Joiner _joiner
    cdef object _peers
    cdef list _out
    cdef tuple _patterns

    cpdef object had_call(self, Leg leg)
    cdef bint _is_unanswered_stranger(self, Leg leg) except -1
    cpdef object begin(self, Leg leg, long long now_ns)
    cdef object _open(self, Leg leg, object direction, long long now_ns)
    cpdef object watch(self, Leg leg)
    cpdef object again(self, Leg leg)
    cpdef object close(self, Leg leg, object outcome, long long now_ns)
    cpdef object give_up(self, CountedAttempt account, long long now_ns)
    cdef object _conclude(self, CountedAttempt account, object outcome, long long now_ns)
    cdef object _throttle(self, CountedAttempt account, Leg leg, Attempt attempt, long long now_ns)
    cpdef bint late_answer(self, Leg leg, long long now_ns) except -1
    cpdef object answer_unseen(self, Leg leg, long long now_ns)
    cdef bint refused(self, Leg leg, Message message) except -1
    cpdef object rung(self, Leg leg, long long now_ns)
    cpdef object disconnected(self, Leg leg, Dialog dialog, long long status, long long now_ns)
    cpdef object ended(self, Call call, long long now_ns)
    cdef object _measure(self, CountedAttempt account, str name, long long now_ns, long long since_ns)

cdef bint _is_hunting(Call call) except -1
cdef bint _has_outgoing(Call call) except -1
cdef bint _all_closed(CountedAttempt account) except -1
