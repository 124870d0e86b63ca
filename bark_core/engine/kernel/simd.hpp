// The processor's vectors: one set of types and functions for each level, chosen by what the compiler was told to use.
//
// All else is written once, in these. Each simd_*.hpp has the same parts in the same order: sizes and types, fp32, bf16,
// integers, 32-bit words, and products that only some processors have. A level is a set of instructions: AVX2 with FMA,
// AVX-512, NEON, or none that this kernel knows (vectors as the compiler makes them).

#pragma once

#include <cstdint>
#include <cstring>

template <typename V, typename T> inline V load(const T *from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
template <typename V, typename T> inline void store(T *to, V v) { std::memcpy(to, &v, sizeof v); }

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include "simd_avx512.hpp"
#elif defined(__AVX2__) && defined(__FMA__)
#include "simd_avx2.hpp"
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include "simd_neon.hpp"
#else
#include "simd_generic.hpp"
#endif

inline float reduce_add(VecF32 v) {
    const VecF32 four[4] = {v};
    float sums[4];
    reduce_add4(four, sums);
    return sums[0];
}
inline float reduce_max(VecF32 v) {
    float largest = v[0];
    for (int i = 1; i < LANES; i++) largest = v[i] > largest ? v[i] : largest;
    return largest;
}
inline VecF32 broadcast(float x) { return x + VecF32{}; }

// A 32-bit word of two bf16 as two floats: a shift gives the first, a mask the second.
inline VecF32 low_bf16(VecU32 words) { return (VecF32)(words << 16); }
inline VecF32 high_bf16(VecU32 words) { return (VecF32)(words & 0xffff0000u); }
