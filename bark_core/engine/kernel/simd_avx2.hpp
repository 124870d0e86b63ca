// AVX2 with FMA; AVX-VNNI where the compiler has it. See simd.hpp.

#pragma once

#include <immintrin.h>

const int LANES = 8;        // floats in a vector
const int REGISTERS = 16;   // vector registers
const int PANEL_VECS = 2;   // vectors across a panel of the matrix product: its micro-kernel's 6 × 2 accumulators fill the registers
typedef float VecF32 __attribute__((vector_size(32)));
typedef int32_t VecI32 __attribute__((vector_size(32)));
typedef uint32_t VecU32 __attribute__((vector_size(32)));
typedef int16_t VecI16 __attribute__((vector_size(32)));  // 2 · LANES values

#if defined(__AVXVNNI__)
#define LEVEL_NAME "AVX2 with AVX-VNNI"
#else
#define LEVEL_NAME "AVX2"
#endif

// fp32

inline VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) { return (VecF32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum); }
inline VecF32 maximum(VecF32 a, VecF32 b) { return (VecF32)_mm256_max_ps((__m256)a, (__m256)b); }
inline VecF32 round_even(VecF32 v) { return (VecF32)_mm256_round_ps((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// Horizontal sums of four vectors.
inline void reduce_add4(const VecF32 v[4], float out[4]) {
    const __m256 a = (__m256)v[0], b = (__m256)v[1], c = (__m256)v[2], d = (__m256)v[3];
    const __m256d ab = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
    const __m256d cd = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));
    const __m256 all = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)), _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}

// With so few registers, loads are better folded into the instructions that use them.
template <typename V> inline V keep_in_register(V v) { return v; }

// bf16

inline VecF32 load_bf16(const uint16_t *from) { return (VecF32)_mm256_slli_epi32(_mm256_cvtepu16_epi32(load<__m128i>(from)), 16); }
inline void store_bf16(uint16_t *to, VecF32 v) {
    const VecU32 bits = (VecU32)v;
    const __m256i rounded = (__m256i)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    store(to, _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1)));
}

// Integers

// 2 · LANES of 8 bits, widened.
inline VecI16 load_int8(const int8_t *from) { return (VecI16)_mm256_cvtepi8_epi16(load<__m128i>(from)); }
// Rounded to the nearest, within the type's range.
inline __m128i to_int16(VecF32 v) {
    const __m256i rounded = _mm256_cvtps_epi32((__m256)v);
    return _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
}
inline void store_int16(int16_t *to, VecF32 v) { store(to, to_int16(v)); }
inline void store_int8(int8_t *to, VecF32 v) { store(to, _mm_cvtsi128_si64(_mm_packs_epi16(to_int16(v), _mm_setzero_si128()))); }
// sum + the products of neighbours, two a lane.
inline VecI32 dot_int16(VecI32 sum, VecI16 a, VecI16 b) {
#if defined(__AVXVNNI__)
    return (VecI32)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#else
    // In one piece: left to itself the compiler keeps many products before it adds them, and spills the sums.
    __m256i product;
    asm("vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(a), "x"(b));
    return sum;
#endif
}
#define HAS_INT16_DOT

// Words

inline VecU32 broadcast_word(uint32_t word) { return (VecU32)_mm256_set1_epi32(int(word)); }
// Transpose LANES × LANES words: within pairs, within fours, and halves.
inline void transpose(VecU32 v[LANES]) {
    __m256 pairs[8], fours[8];
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps((__m256)v[i], (__m256)v[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps((__m256)v[i], (__m256)v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            fours[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
            fours[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        v[i] = (VecU32)_mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
        v[i + 4] = (VecU32)_mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
}

// Products that not every processor of this level has

#if defined(__AVXVNNI__)
#define HAS_INT8_DOT
const int INT8_DOT_OFFSET = 128;  // the instruction takes weights without a sign: they are stored with this added
inline VecI32 dot_int8(VecI32 sum, VecU32 acts, VecU32 weights) { return (VecI32)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)weights, (__m256i)acts); }
#endif
