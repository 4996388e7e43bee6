from agent.wire.sip_cy cimport digits, stripped

cdef object _media(str value, object session)
cdef object _media_attribute(object media, str name, str value)
cdef object _rtcp(str value)
cdef object _candidate(str value)
cdef str _connection(str value)
cdef str _canonical(str address)
cdef long long _number(str text, long long most) except -2
