// Products of many rows with many weights, by tiles: 6 rows of x times 64 columns of a panel, whose words of 32 bits lie one
// after the other, so that one instruction takes 16 columns at once. A word is one float, two bf16 or four whole numbers.

#pragma once

#include "math.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#define TILES_OF_SINGLES
#endif
// Where tiles of the processor's own (AMX) multiply bf16, torch's products use them and are far ahead of these.
#if defined(TILES_OF_SINGLES) && defined(__AVX512BF16__) && defined(__AVX512VNNI__) && !defined(__AMX_BF16__)
#define TILES_OF_HALVES
#endif

#if defined(TILES_OF_SINGLES)

const int WIDE = 64;  // outputs, or keys, that a panel of weights is for
const int TALL = 6;   // positions that a tile takes at once: with 64 columns, 24 sums, as many as there is room for

inline __m512i words_at(const void *from) { return _mm512_loadu_si512(from); }

// How words are multiplied. PER: values in a word. DEEP: words that a panel may be long and stay near.
struct Singles {
    typedef Floats Sum;
    typedef float Value;
    static constexpr int PER = 1, DEEP = 1024;
    static Sum add(Sum s, __m512i x, __m512i w) { return (Floats)_mm512_fmadd_ps((__m512)x, (__m512)w, (__m512)s); }
    static void store(float *to, Floats v) { std::memcpy(to, &v, sizeof v); }
    static float round(float x) { return x; }
};

#if defined(TILES_OF_HALVES)
struct Halves2 {
    typedef Floats Sum;
    typedef uint16_t Value;
    static constexpr int PER = 2, DEEP = 2048;
    static Sum add(Sum s, __m512i x, __m512i w) { return (Floats)_mm512_dpbf16_ps((__m512)s, (__m512bh)x, (__m512bh)w); }
    static void store(uint16_t *to, Floats v) {
        const __m256bh halves = _mm512_cvtneps_pbh((__m512)v);
        std::memcpy(to, &halves, sizeof halves);
    }
    static uint16_t round(float x) { return to_bf16(x); }
};

// Activations −127 … 127 times weights + 128: the instruction wants one of them without a sign.
struct Quarters {
    typedef Ints Sum;
    static constexpr int PER = 4, DEEP = 2048;
    static Sum add(Sum s, __m512i x, __m512i w) { return (Ints)_mm512_dpbusd_epi32((__m512i)s, w, x); }
};
#endif

// sums (R, 16 · COLS) = x (R rows of words, `stride` apart) times `depth` rows of a panel.
template <typename P, int R, int COLS>
inline void window_tile(const uint32_t *x, int64_t stride, const uint32_t *panel, int depth, typename P::Sum out[R][COLS]) {
    typename P::Sum sums[R][COLS] = {};
    for (int k = 0; k < depth; k++, panel += 16 * COLS) {
        __m512i right[COLS];
        for (int c = 0; c < COLS; c++) right[c] = words_at(panel + 16 * c);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const __m512i left = _mm512_set1_epi32(int(x[r * stride + k]));
#pragma GCC unroll 4
            for (int c = 0; c < COLS; c++) sums[r][c] = P::add(sums[r][c], left, right[c]);
        }
    }
    std::memcpy(out, sums, sizeof sums);
}

// Turn 16 rows of 16 words into 16 columns: four times over, the first half's words between the second half's.
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

// Lay 64 rows of `depth` words, a multiple of 16, out as a panel. `fetch(row, k)` gives 16 words of a row from the k-th on.
template <typename Fetch> inline void fill_panel(uint32_t *panel, int depth, Fetch fetch) {
    for (int k = 0; k < depth; k += 16)
        for (int row = 0; row < WIDE; row += 16) {
            __m512i block[16];
            for (int i = 0; i < 16; i++) block[i] = fetch(row + i, k);
            transpose(block);
            for (int i = 0; i < 16; i++) _mm512_storeu_si512(panel + (k + i) * WIDE + row, block[i]);
        }
}

// What a precision works with: how its products and its attention's are made, and how 16 words come out of its weights.
struct InSingles {
    typedef Singles Product, Attention;
    static __m512i fetch(const void *weight, int64_t at) { return words_at(static_cast<const float *>(weight) + at); }
};
#if defined(TILES_OF_HALVES)
struct InHalves {
    typedef Halves2 Product, Attention;
    static __m512i fetch(const void *weight, int64_t at) { return words_at(static_cast<const uint16_t *>(weight) + at); }
};
// 8-bit weights are whole numbers that bf16 holds exactly.
struct InHalvesOf8 {
    typedef Halves2 Product, Attention;
    static __m512i fetch(const void *weight, int64_t at) {
        const int8_t *from = static_cast<const int8_t *>(weight) + at;
        const auto widen = [](const int8_t *w) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load<__m128i>(w))); };
        return (__m512i)_mm512_cvtne2ps_pbh(widen(from + 16), widen(from));
    }
};
struct InQuarters {
    typedef Quarters Product;
    typedef Halves2 Attention;
    static __m512i fetch(const void *weight, int64_t at) {
        return _mm512_xor_si512(words_at(static_cast<const int8_t *>(weight) + at), _mm512_set1_epi8(char(0x80)));
    }
};
#endif

#endif
