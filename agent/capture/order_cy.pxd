from agent.wire.frame cimport CAPTURED, OFFSET, ORIGIN, STAMP, STRIDE, WIRE

cdef enum:
    _INTERFACE_BITS = 0xFFFF

cdef bint _insertion_sort(long long[::1] rows, long long budget) except? -1
