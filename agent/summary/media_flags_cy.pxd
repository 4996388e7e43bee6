from agent.summary.direction_totals_cy cimport DirectionFigures
from agent.model.call_cy cimport Call
from agent.model.call_cy cimport Leg

cdef long long ONE_WAY_NS, ONE_WAY_PACKETS, LATE_NS, COMPARED_PACKETS, NEVER_NS

cpdef object flag_side(set found, Call call, list legs, DirectionFigures to_vc, DirectionFigures away, long long start_ns, long long until_ns)
cdef bint began_late(dict first, bint to_vc, DirectionFigures figures, long long late_ns) except -1
