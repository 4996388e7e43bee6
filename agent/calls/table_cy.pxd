from agent.calls.connector_cy cimport ConnectorResolver
from agent.model.call_cy cimport CountedAttempt, Call, Dialog
from agent.calls.counting_cy cimport Counting
from agent.calls.timers_cy cimport Timers
from agent.model.call_cy cimport Leg
from agent.calls.joining_cy cimport Joiner
from agent.model.attempt_cy cimport Attempt
from agent.media.leg_media_cy cimport LegMedia

# Memory of a leg's descriptions, by its sockets and the condensed text (which stands for the parsed form).
cdef enum:
    SOCKET_BYTES = 700
    TEXT_TIMES = 10
    MESSAGE_BYTES = 4096

cdef class CallTable:
    cdef readonly object counters
    cdef LegMedia _media
    cdef object _rules, _sides, _exchanges, _up, _down, _missed
    cdef list _out
    cdef dict _weights, _replacing
    cdef long long _weight
    cdef public dict changed
    cdef readonly dict reports
    cdef readonly dict _legs
    cdef dict _claimed
    cdef list _unheard
    cdef readonly Timers _timers
    cdef readonly ConnectorResolver _connectors
    cdef readonly Joiner _joiner
    cdef Counting _counting

    cdef long long due(self)
    cdef object _register(self, Leg leg)
    cdef object _make_room(self)
    cdef object _touch(self, Call call)
    cdef object _pass_on(self, Leg leg, long long now_ns, object report)
    cdef bint _has_lapsed(self, Call call, long long claimed_ns, long long now_ns) except -1
    cdef object _sort(self, Call call)
    cdef object _weigh(self, Call call)
    cdef object _check_over(self, Call call, long long now_ns)
    cdef object _leave_undecided(self, Call call, long long now_ns)
    cdef object _confirm_gone(self, Leg leg, long long now_ns)
    cdef object _over(self, Call call, long long now_ns)
    cdef object _release_leg(self, Leg leg)
    cdef object _release(self, Call call, long long now_ns)
    cdef object _report(self, Call call, long long now_ns)
    cdef object _forget(self, Call call)
    cdef object _note_media(self, Call call)
