// NEON (64-bit ARM); dotprod and bf16 where the compiler has them. See simd.hpp.

#pragma once

#include <arm_neon.h>

const int LANES = 4;        // floats in a vector
const int REGISTERS = 32;   // vector registers
const int PANEL_VECS = 4;   // vectors across a panel of the matrix product: its micro-kernel's 6 × 4 accumulators fill the registers
typedef float VecF32 __attribute__((vector_size(16)));
typedef int32_t VecI32 __attribute__((vector_size(16)));
typedef uint32_t VecU32 __attribute__((vector_size(16)));
typedef int16_t VecI16 __attribute__((vector_size(16)));  // 2 · LANES values

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) && defined(__ARM_FEATURE_DOTPROD)
#define LEVEL_NAME "NEON with dotprod and bf16"
#elif defined(__ARM_FEATURE_DOTPROD)
#define LEVEL_NAME "NEON with dotprod"
#else
#define LEVEL_NAME "NEON"
#endif

// fp32

inline VecF32 multiply_add(VecF32 a, VecF32 b, VecF32 sum) { return (VecF32)vfmaq_f32((float32x4_t)sum, (float32x4_t)a, (float32x4_t)b); }
inline VecF32 maximum(VecF32 a, VecF32 b) { return (VecF32)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
inline VecF32 round_even(VecF32 v) { return (VecF32)vrndnq_f32((float32x4_t)v); }

// Horizontal sums of four vectors.
inline void reduce_add4(const VecF32 v[4], float out[4]) {
    const float32x4_t ab = vpaddq_f32((float32x4_t)v[0], (float32x4_t)v[1]), cd = vpaddq_f32((float32x4_t)v[2], (float32x4_t)v[3]);
    vst1q_f32(out, vpaddq_f32(ab, cd));
}

template <typename V> inline V keep_in_register(V v) { return v; }

// bf16

inline VecF32 load_bf16(const uint16_t *from) { return (VecF32)vshll_n_u16(vld1_u16(from), 16); }
inline void store_bf16(uint16_t *to, VecF32 v) {
    const VecU32 bits = (VecU32)v;
    vst1_u16(to, vshrn_n_u32((uint32x4_t)(bits + 0x7fffu + ((bits >> 16) & 1u)), 16));
}

// Integers

// 2 · LANES of 8 bits, widened.
inline VecI16 load_int8(const int8_t *from) { return (VecI16)vmovl_s8(vld1_s8(from)); }
// Rounded to the nearest, within the type's range.
inline int16x4_t to_int16(VecF32 v) { return vqmovn_s32(vcvtnq_s32_f32((float32x4_t)v)); }
inline void store_int16(int16_t *to, VecF32 v) { vst1_s16(to, to_int16(v)); }
inline void store_int8(int8_t *to, VecF32 v) {
    const int8x8_t narrowed = vqmovn_s16(vcombine_s16(to_int16(v), vdup_n_s16(0)));
    std::memcpy(to, &narrowed, LANES);
}
// sum + all products, two a lane, not neighbours: of use where the lanes are added up in the end, not in panels.
inline VecI32 dot_int16(VecI32 sum, VecI16 a, VecI16 b) {
    const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
    return (VecI32)vmlal_high_s16(vmlal_s16((int32x4_t)sum, vget_low_s16(x), vget_low_s16(y)), x, y);
}

// Words

inline VecU32 broadcast_word(uint32_t word) { return (VecU32)vdupq_n_u32(word); }
// Transpose LANES × LANES words: within pairs, then halves.
inline void transpose(VecU32 v[LANES]) {
    const uint32x4_t a = vtrn1q_u32((uint32x4_t)v[0], (uint32x4_t)v[1]), b = vtrn2q_u32((uint32x4_t)v[0], (uint32x4_t)v[1]);
    const uint32x4_t c = vtrn1q_u32((uint32x4_t)v[2], (uint32x4_t)v[3]), d = vtrn2q_u32((uint32x4_t)v[2], (uint32x4_t)v[3]);
    v[0] = (VecU32)vtrn1q_u64((uint64x2_t)a, (uint64x2_t)c);
    v[1] = (VecU32)vtrn1q_u64((uint64x2_t)b, (uint64x2_t)d);
    v[2] = (VecU32)vtrn2q_u64((uint64x2_t)a, (uint64x2_t)c);
    v[3] = (VecU32)vtrn2q_u64((uint64x2_t)b, (uint64x2_t)d);
}

// Products that not every processor of this level has

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define HAS_BF16_DOT
inline VecF32 dot_bf16(VecF32 sum, VecU32 a, VecU32 b) { return (VecF32)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)a, (bfloat16x8_t)b); }
#endif
#if defined(__ARM_FEATURE_DOTPROD)
#define HAS_INT8_DOT
const int INT8_DOT_OFFSET = 0;  // the instruction takes both operands with their signs
inline VecI32 dot_int8(VecI32 sum, VecU32 acts, VecU32 weights) { return (VecI32)vdotq_s32((int32x4_t)sum, (int8x16_t)acts, (int8x16_t)weights); }
#endif
