cimport cython
from agent.calls.signalling_cy cimport Signalling
from agent.engine.intake_cy cimport Intake
from agent.media.rtp.loop_cy cimport END, SLOW, STREAM, Loop
from agent.media.streams_cy cimport Streams
from agent.wire.frame cimport CAPTURED, OFFSET, ORIGIN, STAMP, STRIDE, WIRE

cdef long long NO_TIME

cdef class ClockTimes:
    cdef public long long boundary_ns
    cdef public object minute_ns
    cdef readonly long long idle_ns
    cdef long long _newest_ns

    cpdef object see(self, long long stamp_ns)

@cython.final
cdef class Walk:
    cdef readonly long long late_frames
    cdef ClockTimes _clock
    cdef Signalling _signalling
    cdef Streams _streams
    cdef Intake _intake

    cpdef object frame(self, long long[::1] index, long long at, long long stamp_ns)
