from agent.tracking.table_cy cimport *

cdef enum:
    HEADER = 80
    ROW = 80
    SEEN = 81
    LATE = 83
    UNSEEN = 85
    COLUMNS = 87

cdef long long value(Table table, long long row, long long column) except? -1 nogil
cdef int put(Table table, long long row, long long column, long long number) except -1 nogil
cdef long long bits(Table table, long long word, long long first, unsigned int which) except? -1 nogil
cdef int set_bits(Table table, long long word, long long first, unsigned int which, long long mask) except -1 nogil
