cimport cython

cdef dict _TABLE

@cython.final
@cython.no_gc
cdef class Attempt:
    cdef public long long started_ns, cseq
    cdef public str state
    cdef public object outcome, status
    cdef public bint counted, late_answer, refused, responded
    cdef public tuple deadline
    cdef public dict _branches
    cdef public object _global

    cpdef bint is_open(self) except -1
    cpdef bint is_closed(self) except -1
    cpdef bint is_silent(self) except -1
    cpdef bint was_cancelled_within(self, long long now_ns, long long window_ns) except -1
    cpdef bint takes(self, long long cseq, str branch) except -1
    cpdef bint knows(self, str branch) except -1
    cpdef bint invite(self, long long cseq, str branch, long long now_ns) except -1
    cpdef object retry(self, long long cseq, str branch, long long now_ns)
    cpdef object cancel(self, long long cseq, long long now_ns)
    cpdef object keep(self, long long cseq, long long now_ns)
    cpdef object response(self, long long status, long long cseq, str branch, long long now_ns, long long retry_window_ns)
    cpdef bint answer_unseen(self) except -1
    cpdef object due(self, long long now_ns, bint watched=*)
    cpdef object give_up(self)
    cdef object _on(self, str event, long long now_ns, object status=*, long long retry_window_ns=*)
