# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
from agent.wire.ip.payload_cy cimport *

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

    AUTHENTICATION = 51  # IP protocol (RFC 4302)
    LONGEST = 1500  # bytes of a frame of IEEE 802.3; a greater number in its place is an EtherType
    RECEIVED = 2  # packet types up to this one (HOST, BROADCAST, MULTICAST): for this host
    MAX_LAYERS = 16  # tags, labels and extension headers of one frame

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

cdef extern from *:
    """
    #define SBCWATCH_V4_MAPPED 0xFFFF00000000ULL
    """
    const unsigned long long V4_MAPPED "SBCWATCH_V4_MAPPED"

cdef class Layers(Payload):
    cdef readonly unsigned long long src_hi, src_lo, dst_hi, dst_lo
    cdef readonly long long src_port, dst_port, ip_version, path, protocol
    cdef readonly long long identification, fragment_offset, more_fragments
    cdef readonly long long depth
    cdef long long at, end, ether_type, layers
    cdef const unsigned long long[::1] own
    cdef unsigned long long own_bits
    cdef const unsigned char[::1] ether_types

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
