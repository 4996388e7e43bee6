cimport cython
from agent.tracking.dialog_cy cimport Leg
from agent.wire.sip_cy cimport Message

@cython.final
cdef class Belonging:
    cdef object _sides, _counters
    cdef dict _open

    cpdef object connector(self, Message message, str customer)
    cpdef object add(self, Leg leg)
    cpdef object hear(self, Leg leg, Message message)
    cpdef object drop(self, Leg leg, object settled)
