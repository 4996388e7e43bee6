from agent.media.rtp.stream_table_cy cimport *

cdef enum:
    CELL_COUNT = 7
    CELL_DISCARDED = 8
    CELL_UNKNOWN = 16
