from agent.tracking.dialog_cy cimport Leg

cdef class Stream:
    cdef public int id
    cdef public unsigned int ssrc
    cdef public long long first_ns
    cdef public object src, dst, towards, arriving, heard
    cdef public Leg leg
    cdef public dict codecs
    cdef public bint clean, attached, first, audio, named
    cpdef str codec_name(self, int payload_type)
