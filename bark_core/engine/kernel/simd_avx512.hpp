// AVX-512 (F, BW, DQ, VL); VNNI and BF16 where the compiler has them. See simd.hpp.

#pragma once

#include <immintrin.h>

const int LANES = 16;       // floats in a vector
const int REGISTERS = 32;   // vector registers
const int PANEL_VECS = 4;   // vectors across a panel of the matrix product: its micro-kernel's 6 × 4 accumulators fill the registers
typedef float VecF32 __attribute__((vector_size(64)));
typedef int32_t VecI32 __attribute__((vector_size(64)));
typedef uint32_t VecU32 __attribute__((vector_size(64)));
typedef int16_t VecI16 __attribute__((vector_size(64)));  // 2 · LANES values

#if defined(__AVX512BF16__)
#define LEVEL_NAME "AVX-512 with VNNI and bf16"
#elif defined(__AVX512VNNI__)
#define LEVEL_NAME "AVX-512 with VNNI"
#else
#define LEVEL_NAME "AVX-512"
#endif

// fp32

inline VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) { return (VecF32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum); }
inline VecF32 maximum(VecF32 a, VecF32 b) { return (VecF32)_mm512_max_ps((__m512)a, (__m512)b); }
inline VecF32 round_even(VecF32 v) { return (VecF32)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEAREST_INT); }

// Horizontal sums of four vectors.
inline void reduce_add4(const VecF32 v[4], float out[4]) {
    const __m512 a = (__m512)v[0], b = (__m512)v[1], c = (__m512)v[2], d = (__m512)v[3];
    const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

// Keep a loaded vector in a register. Otherwise GCC folds the load into every instruction that uses it, and load ports are the limit.
template <typename V> inline V keep_in_register(V v) {
    asm("" : "+v"(v));
    return v;
}

// bf16

inline VecF32 load_bf16(const uint16_t *from) { return (VecF32)_mm512_slli_epi32(_mm512_cvtepu16_epi32(load<__m256i>(from)), 16); }
inline void store_bf16(uint16_t *to, VecF32 v) {
#if defined(__AVX512BF16__)
    store(to, _mm512_cvtneps_pbh((__m512)v));
#else
    const VecU32 bits = (VecU32)v;
    store(to, _mm512_cvtepi32_epi16((__m512i)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)));
#endif
}

// Integers

// 2 · LANES of 8 bits, widened.
inline VecI16 load_int8(const int8_t *from) { return (VecI16)_mm512_cvtepi8_epi16(load<__m256i>(from)); }
// Rounded to the nearest, within the type's range.
inline void store_int16(int16_t *to, VecF32 v) { store(to, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32((__m512)v))); }
inline void store_int8(int8_t *to, VecF32 v) { store(to, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32((__m512)v))); }
// sum + the products of neighbours, two a lane.
inline VecI32 dot_int16(VecI32 sum, VecI16 a, VecI16 b) {
#if defined(__AVX512VNNI__)
    return (VecI32)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#else
    return sum + (VecI32)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#endif
}
#define HAS_INT16_DOT

// Words

inline VecU32 broadcast_word(uint32_t word) { return (VecU32)_mm512_set1_epi32(int(word)); }
// Transpose LANES × LANES words in four rounds; each interleaves the first half of the rows with the second.
inline void transpose(VecU32 v[LANES]) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    for (int round = 0; round < 4; round++) {
        VecU32 next[16];
        for (int i = 0; i < 8; i++) {
            next[2 * i] = (VecU32)_mm512_permutex2var_epi32((__m512i)v[i], low, (__m512i)v[i + 8]);
            next[2 * i + 1] = (VecU32)_mm512_permutex2var_epi32((__m512i)v[i], high, (__m512i)v[i + 8]);
        }
        std::memcpy(v, next, sizeof next);
    }
}

// Products that not every processor of this level has

#if defined(__AVX512BF16__)
#define HAS_BF16_DOT
inline VecF32 dot_bf16(VecF32 sum, VecU32 a, VecU32 b) { return (VecF32)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b); }
#endif
#if defined(__AVX512VNNI__)
#define HAS_INT8_DOT
const int INT8_DOT_OFFSET = 128;  // the instruction takes weights without a sign: they are stored with this added
inline VecI32 dot_int8(VecI32 sum, VecU32 acts, VecU32 weights) { return (VecI32)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)weights, (__m512i)acts); }
#endif
