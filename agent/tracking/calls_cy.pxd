from agent.tracking.belonging_cy cimport Belonging
from agent.tracking.call_cy cimport Account, Call
from agent.tracking.counting_cy cimport Counting
from agent.tracking.deadlines_cy cimport Deadlines
from agent.tracking.dialog_cy cimport Leg
from agent.tracking.joining_cy cimport Joiner
from agent.tracking.transaction_cy cimport Attempt

cdef class Calls:
    cdef readonly object counters
    cdef object _rules, _sides, _media, _exchanges, _up, _down
    cdef list _out
    cdef readonly dict _legs
    cdef readonly Deadlines _deadlines
    cdef readonly Belonging _belonging
    cdef readonly Joiner _joiner
    cdef Counting _counting

    cdef object _register(self, Leg leg)
    cdef object _sort(self, Call call)
    cdef object _check_over(self, Call call, long long now_ns)
    cdef object _over(self, Call call, long long now_ns)
    cdef object _release(self, Call call, long long now_ns)
    cdef object _report(self, Call call, long long now_ns)
    cdef object _forget(self, Call call)
    cdef object _heard(self, Call call)
