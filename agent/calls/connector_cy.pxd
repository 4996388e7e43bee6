cimport cython
from agent.model.call_cy cimport Leg
from agent.wire.sip.message_cy cimport Message

@cython.final
cdef class ConnectorResolver:
    cdef object _sides, _counters
    cdef dict _open

    cpdef object connector(self, Message message, str peer, object side, bint from_vc)
    cpdef object add(self, Leg leg)
    cpdef object update(self, Leg leg, Message message, bint from_vc)
    cpdef object drop(self, Leg leg, object settled)
