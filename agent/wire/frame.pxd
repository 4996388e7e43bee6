# A row of a batch's index: `frame.py` says what stands in each column.
cdef enum:
    STRIDE = 5
    OFFSET = 0
    CAPTURED = 1
    WIRE = 2
    STAMP = 3
    ORIGIN = 4
