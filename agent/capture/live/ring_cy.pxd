from agent.wire.frame cimport CAPTURED, OFFSET, ORIGIN, STAMP, STRIDE, WIRE

cdef extern from *:
    """
    #include <stdint.h>
    /* The kernel hands a block over by its status word: what it wrote before must be seen after (acquire), and
       all our reads must be done before it is given back (release). On x86 these are plain moves, on arm64 not. */
    static inline uint32_t sbcwatch_load_acquire(const uint32_t *at) {
        return __atomic_load_n(at, __ATOMIC_ACQUIRE);
    }
    static inline void sbcwatch_store_release(uint32_t *at, uint32_t value) {
        __atomic_store_n(at, value, __ATOMIC_RELEASE);
    }
    """
    unsigned int load_acquire "sbcwatch_load_acquire" (const unsigned int *at) nogil
    void store_release "sbcwatch_store_release" (unsigned int *at, unsigned int value) nogil
