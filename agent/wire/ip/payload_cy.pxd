# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
from agent.wire.sip.scan_cy cimport LOOKED_AT, METHOD_MAX

cdef enum:
    PAYLOAD_OTHER = 0
    PAYLOAD_RTP = 1
    PAYLOAD_RTCP = 2
    PAYLOAD_SIP = 3
    PAYLOAD_STUN = 4
    PAYLOAD_ZRTP = 5
    PAYLOAD_DTLS = 6
    PAYLOAD_SHORT = 7
    PAYLOAD_TURN = 8  # RTP in TURN's ChannelData

ctypedef const unsigned char *Octets

# Big-endian loads from bytes that `octets_of` has checked.
cdef extern from *:
    """
    static inline unsigned int sbcwatch_load16(const unsigned char *p, int at) {
        return (unsigned int)p[at] << 8 | p[at + 1];
    }
    static inline unsigned int sbcwatch_load32(const unsigned char *p, int at) {
        return sbcwatch_load16(p, at) << 16 | sbcwatch_load16(p, at + 2);
    }
    static inline unsigned long long sbcwatch_load64(const unsigned char *p, int at) {
        return (unsigned long long)sbcwatch_load32(p, at) << 32 | sbcwatch_load32(p, at + 4);
    }
    """
    unsigned int load16 "sbcwatch_load16"(Octets octets, int at) nogil
    unsigned int load32 "sbcwatch_load32"(Octets octets, int at) nogil
    unsigned long long load64 "sbcwatch_load64"(Octets octets, int at) nogil

cdef class Payload:
    cdef const unsigned char[::1] view
    cdef readonly long long payload_offset, payload_length, payload_captured
    cdef readonly long long rtp_header, rtp_second, rtp_seq, rtp_ts, rtp_ssrc

    cdef int classify(self) except -100 nogil
    cdef inline bint is_cut(self) noexcept nogil
    cdef bint is_text(self, long long at, long long end) except -1 nogil
    cdef bint is_start_line(self, long long at, long long end) except -1 nogil
    cdef bint is_version(self, long long at, long long end) except -1 nogil
    cdef int be16(self, unsigned long long at) except -1 nogil
    cdef unsigned long long be32(self, unsigned long long at) except? 0 nogil

# `count` > 0 bytes of the buffer: the first and the last are bounds-checked, once for all.
cdef inline Octets octets_of(Payload payload, unsigned long long at, unsigned long long count) except NULL nogil:
    cdef Octets last = &payload.view[at + count - 1]
    return &payload.view[at] if last else NULL

# A copy of them; `count` may be 0.
cdef inline bytes bytes_of(Payload payload, unsigned long long at, unsigned long long count):
    return (<const char *>octets_of(payload, at, count))[:count] if count else b""
