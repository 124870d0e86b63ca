// Any processor that GCC or Clang compiles for: vectors of 16 bytes, made of what it has. Right everywhere, fast nowhere. See simd.hpp.

#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

const int LANES = 4;        // floats in a vector
const int REGISTERS = 16;   // vector registers
const int PANEL_VECS = 2;   // vectors across a panel of the matrix product: its micro-kernel's 6 × 2 accumulators fill the registers
typedef float VecF32 __attribute__((vector_size(16)));
typedef int32_t VecI32 __attribute__((vector_size(16)));
typedef uint32_t VecU32 __attribute__((vector_size(16)));
typedef int16_t VecI16 __attribute__((vector_size(16)));  // 2 · LANES values

#define LEVEL_NAME "no vector extension"

// fp32

inline VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) { return a * b + sum; }
inline VecF32 maximum(VecF32 a, VecF32 b) { return a > b ? a : b; }
// For magnitudes below 2^22: adding this leaves no bits behind the point.
inline VecF32 round_even(VecF32 v) { return (v + 12582912.f) - 12582912.f; }

// Horizontal sums of four vectors.
inline void reduce_add4(const VecF32 v[4], float out[4]) {
    for (int i = 0; i < 4; i++) out[i] = (v[i][0] + v[i][1]) + (v[i][2] + v[i][3]);
}

template <typename V> inline V keep_in_register(V v) { return v; }

// bf16

inline VecF32 load_bf16(const uint16_t *from) {
    VecU32 bits;
    for (int i = 0; i < LANES; i++) bits[i] = uint32_t(from[i]) << 16;
    return (VecF32)bits;
}
inline void store_bf16(uint16_t *to, VecF32 v) {
    const VecU32 bits = (VecU32)v, rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    for (int i = 0; i < LANES; i++) to[i] = uint16_t(rounded[i]);
}

// Integers

// 2 · LANES of 8 bits, widened.
inline VecI16 load_int8(const int8_t *from) {
#if defined(__SSE2__)
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(from));
    return (VecI16)_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
#else
    VecI16 wide;
    for (int i = 0; i < 2 * LANES; i++) wide[i] = from[i];
    return wide;
#endif
}
// Rounded to the nearest; the values must be within the type's range.
template <typename T> inline void store_rounded(T *to, VecF32 v) {
    const VecI32 whole = __builtin_convertvector(round_even(v), VecI32);
    for (int i = 0; i < LANES; i++) to[i] = T(whole[i]);
}
inline void store_int16(int16_t *to, VecF32 v) { store_rounded(to, v); }
inline void store_int8(int8_t *to, VecF32 v) { store_rounded(to, v); }
// sum + the products of neighbours, two a lane.
inline VecI32 dot_int16(VecI32 sum, VecI16 a, VecI16 b) {
#if defined(__SSE2__)
    return sum + (VecI32)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    const VecI32 x = (VecI32)a, y = (VecI32)b;
    return sum + ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
#endif
}
#define HAS_INT16_DOT

// Words

inline VecU32 broadcast_word(uint32_t word) { return word + VecU32{}; }
inline void transpose(VecU32 v[LANES]) {
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < i; j++) {
            const uint32_t kept = v[i][j];
            v[i][j] = v[j][i];
            v[j][i] = kept;
        }
}
