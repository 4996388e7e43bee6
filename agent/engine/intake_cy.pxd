cimport cython
from agent.calls.signalling_cy cimport Signalling
from agent.transport.copies_cy cimport Copies
from agent.transport.peers_cy cimport Peers
from agent.transport.rate_limit_cy cimport RateLimit
from agent.wire.ip.decoder_cy cimport ESP, FRAGMENT, HEP, NAT_T, OTHER_IP, SCTP, TCP, UDP, Decoder, read, rejoined
from agent.wire.ip.packet_cy cimport Packet, address
from agent.wire.sip.message_cy cimport Message
from agent.wire.sip.scan_cy cimport looks_like_sip, status_at

@cython.final
cdef class Intake:
    cdef readonly long long duplicates
    cdef readonly RateLimit rate_limit
    cdef readonly object counters
    cdef object _rtp, _sides, _media, _rejects, _fragments, _tcp, _sctp, _rules, _bytes
    cdef Peers _peers
    cdef frozenset _own
    cdef list _out
    cdef long long _captured
    cdef Signalling _signalling
    cdef Decoder _decoder, _inner
    cdef Copies _copies

    cpdef object frame(self, long long offset, long long captured, long long wire, long long stamp_ns, long long origin)
    cdef object _headers_cut(self, long long stamp_ns)
    cpdef object take(self, Packet packet)
    cdef Packet _joined(self, Packet packet)
    cdef object _fragment_cut(self, Packet packet)
    cdef object _segment(self, Packet packet)
    cdef object _chunks(self, Packet packet)
    cdef object _found(self, Packet packet, object found)
    cdef bint _is_sip_port(self, Packet packet) except -1
    cdef object _datagram(self, Packet packet)
    cdef object _hep(self, Packet packet, bytes data)
    cdef object _sip(self, Packet packet, bytes data)
    cdef object _count_cut_message(self, Packet packet, bytes data)
    cdef bint _is_peers(self, Packet packet) except -1
    cdef bint _is_elsewhere(self, Packet packet) except -1
    cdef object _unseen(self, Packet packet, object sight, object cause)
    cdef bint _within_limits(self, Packet packet) except -1
    cdef str _peer_of(self, Packet packet)
    cdef object _report_fragments(self)

cdef bint _has_whole_head(bytes data) except -1
cdef int _status_of(bytes data) except -1
