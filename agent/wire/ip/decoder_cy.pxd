# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
cimport cython

cdef enum:
    NOT_IP = 0
    UDP = 1
    FRAGMENT = 2
    TCP = 3
    OTHER_IP = 4
    SCTP = 5
    BAD_LINK_TYPE = -1
    SHORT_LINK = -2
    SHORT_IP = -3
    BAD_IP = -4
    SHORT_UDP = -5
    BAD_UDP = -6
    BAD_TCP = -7
    OWN_SOURCE = -9

    # IP protocol numbers (RFC 4303, RFC 4302).
    ESP = 50
    AUTHENTICATION = 51
    NAT_T = 4500  # the UDP port of ESP behind NAT (RFC 3948)
    LONGEST = 1500  # bytes of a frame of IEEE 802.3; a greater number in its place is an EtherType
    L2TPV3_MOST = 12  # bytes of the longest cookie and the sublayer

    RECEIVED = 2  # packet types up to this one (HOST, BROADCAST, MULTICAST): for this host

    PAYLOAD_OTHER = 0
    PAYLOAD_RTP = 1
    PAYLOAD_RTCP = 2
    PAYLOAD_SIP = 3
    PAYLOAD_STUN = 4
    PAYLOAD_ZRTP = 5
    PAYLOAD_DTLS = 6
    PAYLOAD_SHORT = 7
    PAYLOAD_TURN = 8  # RTP in TURN's ChannelData

    METHOD_MAX = 64  # characters of the method in what looks like SIP
    START_LINE_MAX = 4096  # octets in which a start line is looked for
    MAX_LAYERS = 16  # tags, labels and extension headers of one frame
    MAX_DEPTH = 4  # tunnels in tunnels

    # Rows of encapsulations.ROWS, in their order.
    VLAN = 1
    VNTAG = 2
    ETAG = 3
    CMD = 4
    NSH = 5
    MPLS = 6
    PPPOE = 7
    IPIP = 8
    SIX_IN_4 = 9
    PLAIN_GRE = 10
    NVGRE = 11
    ERSPAN = 12
    ERSPAN3 = 13
    PPTP = 14
    ETHERIP = 15
    L2TPV3 = 16
    VXLAN = 17
    VXLANGPE = 18
    GENEVE = 19
    GTPU = 20
    L2TP = 21
    MPLSUDP = 22
    TZSP = 23
    HEP = 24

    RULE = 7  # numbers a rule of `encapsulations.rules`

cdef extern from *:
    """
    #define SBCWATCH_V4_MAPPED 0xFFFF00000000ULL
    """
    const unsigned long long V4_MAPPED "SBCWATCH_V4_MAPPED"

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

cdef class Packet

@cython.final
cdef class Decoder:
    cdef const unsigned char[::1] view
    cdef readonly unsigned long long src_hi, src_lo, dst_hi, dst_lo
    cdef readonly long long src_port, dst_port, ip_version, path, protocol
    cdef readonly long long payload_offset, payload_length, payload_captured
    cdef readonly long long identification, fragment_offset, more_fragments
    cdef readonly long long tcp_seq, tcp_flags
    cdef readonly long long rtp_header, rtp_second, rtp_seq, rtp_ts, rtp_ssrc
    cdef unsigned long long near_src_hi, near_src_lo, near_dst_hi, near_dst_lo, near_sockets
    cdef readonly long long tunnel, vni, depth
    cdef long long at, end, ether_type, layers, port
    cdef bint opens_all
    cdef const unsigned long long[::1] own
    cdef unsigned long long own_bits
    cdef const unsigned char[::1] ether_types, protocols, gre_types, ports, source_ports
    cdef const unsigned long long[::1] rules
    cdef long long[::1] opened

    cpdef int plain(self, long long offset, long long captured, long long origin) except -100 nogil
    cdef int frame(self, long long offset, long long captured, long long origin) except -100 nogil
    cdef int link(self, long long link_type) except -100 nogil
    cdef int ethernet(self) except -100 nogil
    cdef int network(self) except -100 nogil
    cdef int ipv4(self) except -100 nogil
    cdef int ipv6(self) except -100 nogil
    cdef int transport(self) except -100 nogil
    cdef int fragment(self) except -100 nogil
    cdef bint is_forged(self) except -1 nogil
    cdef bint is_own(self, unsigned long long high, unsigned long long low) except -1 nogil
    cdef int extensions(self, long long following, long long at, long long stop) except -100 nogil
    cdef int mpls(self) except -100 nogil
    cdef int bridged(self, long long most) except -100 nogil
    cdef int llc(self) except -100 nogil
    cdef int nsh(self) except -100 nogil
    cdef int ppp(self) except -100 nogil
    cdef int in_ip(self) except -100 nogil
    cdef int generic(self) except -100 nogil
    cdef int erspan3(self) except -100 nogil
    cdef int pptp(self, long long flags) except -100 nogil
    cdef int datagram(self, long long number) except -100 nogil
    cdef int short_udp(self, long long at) except -100 nogil
    cdef bint begins_tunnel(self, int source, int destination) except -1 nogil
    cdef int cut(self) except -100 nogil
    cdef int vxlan(self) except -100 nogil
    cdef int vxlan_gpe(self) except -100 nogil
    cdef int tzsp(self) except -100 nogil
    cdef int geneve(self) except -100 nogil
    cdef int gtpu(self) except -100 nogil
    cdef int l2tp(self) except -100 nogil
    cdef bint enter(self, long long number, long long vni) except -1 nogil
    cpdef bint opens(self, Packet packet, long long number) except -1
    cdef bint believes(self, long long number, long long vni) except -1 nogil
    cdef int again(self) except -1 nogil
    cdef int resume(self, Packet packet, long long length) except -100
    cdef int classify(self) except -100 nogil
    cdef inline bint is_cut(self) noexcept nogil
    cdef bint is_text(self, long long at, long long end) except -1 nogil
    cdef bint is_start_line(self, long long at, long long end) except -1 nogil
    cdef bint is_version(self, long long at, long long end) except -1 nogil
    cdef int glance(self, long long at, long long end) except -1 nogil
    cdef int be16(self, unsigned long long at) except -1 nogil
    cdef unsigned long long be32(self, unsigned long long at) except? 0 nogil
    cdef unsigned long long be64(self, unsigned long long at) except? 0 nogil

# `count` > 0 bytes of the buffer: the first and the last are bounds-checked, once for all.
cdef inline Octets octets_of(Decoder decoder, unsigned long long at, unsigned long long count) except NULL nogil:
    cdef Octets last = &decoder.view[at + count - 1]
    return &decoder.view[at] if last else NULL

# A copy of them; `count` may be 0.
cdef inline bytes bytes_of(Decoder decoder, unsigned long long at, unsigned long long count):
    return (<const char *>octets_of(decoder, at, count))[:count] if count else b""

@cython.final
@cython.no_gc
cdef class Packet:
    cdef readonly int kind
    cdef readonly str src, dst
    cdef readonly bytes payload
    cdef readonly long long src_port, dst_port, length, stamp_ns, path, protocol
    cdef readonly long long identification, fragment_offset, seq, flags
    cdef readonly long long tunnel, vni, depth
    cdef readonly bint more_fragments

cdef dict _dotted
cpdef str address(unsigned long long high, unsigned long long low)
cdef Packet _packet(Decoder decoder, int kind, long long stamp_ns)
cpdef Packet rejoined(Decoder decoder, Packet fragment, bytes whole)
cpdef Packet read(Decoder decoder, long long offset, long long captured, long long stamp_ns, long long origin)
