from agent.summary.direction_cy cimport DirectionFigures
from agent.tracking.call_cy cimport Call
from agent.tracking.dialog_cy cimport Leg

cdef long long ONE_WAY_NS, ONE_WAY_PACKETS, LATE_NS, COMPARED_PACKETS, NEVER_NS

cpdef object flag_side(set found, Call call, list legs, DirectionFigures towards, DirectionFigures away, long long start_ns, long long until_ns)
cdef bint began_late(dict first, bint towards, DirectionFigures figures, long long late_ns) except -1
