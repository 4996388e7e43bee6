# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
cimport cython
from agent.wire.ip.layers_cy cimport *
from agent.wire.ip.packet_cy cimport Packet, address
from agent.wire.ip.payload_cy cimport *

cdef enum:
    ESP = 50  # IP protocol (RFC 4303)
    NAT_T = 4500  # the UDP port of ESP behind NAT (RFC 3948)
    L2TPV3_MOST = 12  # bytes of the longest cookie and the sublayer
    MAX_DEPTH = 4  # tunnels in tunnels

    RULE = 7  # numbers a rule of `encapsulations.rules`

@cython.final
cdef class Decoder(Layers):
    cdef readonly long long tcp_seq, tcp_flags
    cdef unsigned long long near_src_hi, near_src_lo, near_dst_hi, near_dst_lo, near_sockets
    cdef readonly long long tunnel, vni
    cdef long long port
    cdef bint opens_all
    cdef const unsigned char[::1] protocols, gre_types, ports, source_ports
    cdef const unsigned long long[::1] rules
    cdef long long[::1] opened

    cpdef int plain(self, long long offset, long long captured, long long origin) except -100 nogil
    cdef int frame(self, long long offset, long long captured, long long origin) except -100 nogil
    cdef int in_ip(self) except -100 nogil
    cdef int generic(self) except -100 nogil
    cdef int erspan3(self) except -100 nogil
    cdef int pptp(self, long long flags) except -100 nogil
    cdef int datagram(self, long long number) except -100 nogil
    cdef int short_udp(self, long long at) except -100 nogil
    cdef bint begins_tunnel(self, int source, int destination) except -1 nogil
    cdef int too_short(self) except -100 nogil
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
    cdef int glance(self, long long at, long long end) except -1 nogil

cdef Packet _packet(Decoder decoder, int kind, long long stamp_ns)
cpdef Packet rejoined(Decoder decoder, Packet fragment, bytes whole)
cpdef Packet read(Decoder decoder, long long offset, long long captured, long long stamp_ns, long long origin)
