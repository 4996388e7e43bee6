cimport cython
from agent.calls.signalling_cy cimport Signalling
from agent.wire.ip.decoder_cy cimport FRAGMENT, TCP, UDP, Decoder, Packet, read, rejoined
from agent.wire.sip.message_cy cimport Message
from agent.wire.sip.scan_cy cimport looks_like_sip

cdef enum:
    COPY_NS = 20000000

@cython.final
cdef class Intake:
    cdef readonly long long duplicates
    cdef readonly object budget
    cdef object _sides, _media, _rejects, _fragments, _tcp
    cdef dict _recent, _before
    cdef long long _since_ns
    cdef Signalling _signalling
    cdef Decoder _decoder, _inner
    cdef bint _single_span

    cpdef object frame(self, long long offset, long long captured, long long stamp_ns, long long origin)
    cpdef object take(self, Packet packet)
    cdef object _rejoined(self, Packet fragment, bytes whole)
    cdef object _datagram(self, Packet packet)
    cdef bint _is_copy(self, Packet packet, bint by_path) except -1
    cdef object _sip(self, Packet packet, bytes data)
