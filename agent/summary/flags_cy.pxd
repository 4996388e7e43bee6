from agent.summary.direction_cy cimport DirectionFigures

cpdef object flag_streams(object found, object directions)
cpdef object flag_side(object found, object call, object legs, DirectionFigures towards, DirectionFigures away, long long start_ns, long long until_ns)
