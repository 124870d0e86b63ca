// GEMM building blocks: a micro-kernel of MR × NR outputs on a packed panel of NR columns, and the packing.
//
// A panel is stored as 32-bit words, NR columns of one word after the other. A word holds one float, two bf16 or four int8 of
// consecutive inputs, as the FMA, dpbf16 and dpbusd instructions take them.

#pragma once

#include "math.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#define HAS_GEMM
#endif
// With AMX, torch's bf16 products are far ahead of these.
#if defined(HAS_GEMM) && defined(__AVX512BF16__) && defined(__AVX512VNNI__) && !defined(__AMX_BF16__)
#define HAS_BF16_GEMM
#endif

#if defined(HAS_GEMM)

const int NR = 64;  // columns of a panel: outputs, or keys
const int MR = 6;   // rows of a tile: 6 × 64 outputs are 24 accumulators of 32 registers

inline __m512i load_u32(const void *from) { return _mm512_loadu_si512(from); }

// The product of words. PER_WORD: values in a word. KC: words of depth of a panel that stays in cache.
struct Fp32Product {
    typedef VecF32 Accum;
    typedef float Value;
    static constexpr int PER_WORD = 1, KC = 1024;
    static Accum multiply_add(Accum s, __m512i x, __m512i w) { return (VecF32)_mm512_fmadd_ps((__m512)x, (__m512)w, (__m512)s); }
    static void store(float *to, VecF32 v) { std::memcpy(to, &v, sizeof v); }
    static float round(float x) { return x; }
};

#if defined(HAS_BF16_GEMM)
struct Bf16Product {
    typedef VecF32 Accum;
    typedef uint16_t Value;
    static constexpr int PER_WORD = 2, KC = 2048;
    static Accum multiply_add(Accum s, __m512i x, __m512i w) { return (VecF32)_mm512_dpbf16_ps((__m512)s, (__m512bh)x, (__m512bh)w); }
    static void store(uint16_t *to, VecF32 v) {
        const __m256bh bf16 = _mm512_cvtneps_pbh((__m512)v);
        std::memcpy(to, &bf16, sizeof bf16);
    }
    static uint16_t round(float x) { return to_bf16(x); }
};

// Signed activations × (weights + 128), since the instruction takes one operand unsigned; the caller subtracts 128 × the activations' sum.
struct Int8Product {
    typedef VecI32 Accum;
    static constexpr int PER_WORD = 4, KC = 2048;
    static Accum multiply_add(Accum s, __m512i x, __m512i w) { return (VecI32)_mm512_dpbusd_epi32((__m512i)s, w, x); }
};
#endif

// out (R, 16 · VECS) = x (R rows of words, `stride` apart) × `depth` words of a panel.
template <typename P, int R, int VECS>
inline void micro_kernel(const uint32_t *x, int64_t stride, const uint32_t *panel, int depth, typename P::Accum out[R][VECS]) {
    typename P::Accum accums[R][VECS] = {};
    for (int k = 0; k < depth; k++, panel += 16 * VECS) {
        __m512i right[VECS];
        for (int c = 0; c < VECS; c++) right[c] = load_u32(panel + 16 * c);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const __m512i left = _mm512_set1_epi32(int(x[r * stride + k]));
#pragma GCC unroll 4
            for (int c = 0; c < VECS; c++) accums[r][c] = P::multiply_add(accums[r][c], left, right[c]);
        }
    }
    std::memcpy(out, accums, sizeof accums);
}

// Transpose 16 × 16 words in four rounds; each interleaves the first half of the rows with the second.
inline void transpose(__m512i v[16]) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    for (int time = 0; time < 4; time++) {
        __m512i next[16];
        for (int i = 0; i < 8; i++) {
            next[2 * i] = _mm512_permutex2var_epi32(v[i], low, v[i + 8]);
            next[2 * i + 1] = _mm512_permutex2var_epi32(v[i], high, v[i + 8]);
        }
        std::memcpy(v, next, sizeof next);
    }
}

// Pack NR rows of `depth` words, a multiple of 16, as a panel. `load_row(row, k)` returns 16 words of a row from the k-th on.
template <typename Load> inline void pack_panel(uint32_t *panel, int depth, Load load_row) {
    for (int k = 0; k < depth; k += 16)
        for (int row = 0; row < NR; row += 16) {
            __m512i block[16];
            for (int i = 0; i < 16; i++) block[i] = load_row(row + i, k);
            transpose(block);
            for (int i = 0; i < 16; i++) _mm512_storeu_si512(panel + (k + i) * NR + row, block[i]);
        }
}

// A precision: the products of its linears and of its attention, and how 16 packed words are loaded from its weights.
struct Fp32Gemm {
    typedef Fp32Product Product, Attention;
    static __m512i load_words(const void *weight, int64_t at) { return load_u32(static_cast<const float *>(weight) + at); }
};
#if defined(HAS_BF16_GEMM)
struct Bf16Gemm {
    typedef Bf16Product Product, Attention;
    static __m512i load_words(const void *weight, int64_t at) { return load_u32(static_cast<const uint16_t *>(weight) + at); }
};
// 8-bit weights × bf16 activations; bf16 represents every int8 exactly.
struct Int8Gemm {
    typedef Bf16Product Product, Attention;
    static __m512i load_words(const void *weight, int64_t at) {
        const int8_t *from = static_cast<const int8_t *>(weight) + at;
        const auto to_f32 = [](const int8_t *w) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load<__m128i>(w))); };
        return (__m512i)_mm512_cvtne2ps_pbh(to_f32(from + 16), to_f32(from));
    }
};
struct Int8ActsGemm {
    typedef Int8Product Product;
    typedef Bf16Product Attention;
    static __m512i load_words(const void *weight, int64_t at) {
        return _mm512_xor_si512(load_u32(static_cast<const int8_t *>(weight) + at), _mm512_set1_epi8(char(0x80)));
    }
};
#endif

#endif
