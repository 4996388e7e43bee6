from agent.wire.sip.scan_cy cimport BACKSLASH, COMMA, GREATER, LESS, QUOTE, find, parameter_at, text_at

cdef dict _known_uris
cpdef object parse_uri(str text)
cdef object _read_uri(str text)
cpdef str tag_at(bytes head, Py_ssize_t at, Py_ssize_t end)
cpdef str branch_at(bytes head, Py_ssize_t at, Py_ssize_t end)
cpdef str address_at(bytes head, Py_ssize_t at, Py_ssize_t end)
cpdef tuple address_of(str value)
