from agent.model.attempt_cy cimport Attempt
from agent.model.call_cy cimport Call, Dialog, Leg, LegMediaTotals

cdef tuple _WAYS
cdef dict _PEERS

cpdef dict media_of(Call call, str observer)
cpdef str codec_of(Call call)
cpdef str joined(list[str] names)
cdef LegMediaTotals owner_totals(Call call)
cpdef str worst_direction(LegMediaTotals totals)
cpdef dict call_row(Call call, object fallback, object identity)
cdef object between_ms(object since_ns, object until_ns)
cdef object put_ends(dict row, Call call)
