cdef bint is_finite(double value) noexcept
