// GEMM building blocks: the products, a micro-kernel of MR × NR outputs on a packed panel of NR columns, and the packing.
//
// A panel is stored as 32-bit words, NR columns of one word after the other. A word holds one float, two bf16, two int16 or
// four int8 of consecutive inputs, as the processor's products take them. Weights that it has no products for are widened
// when they are packed.

#pragma once

#include "math.hpp"

const int NR = PANEL_VECS * LANES;  // columns of a panel: outputs, or keys
const int MR = 6;                   // rows of a tile
const int CHUNK = 128;              // words of depth that one accumulator takes

// A product: the type of its activations, values in a word, the multiply-add of words, how LANES words are loaded from
// weights of each type that it takes, and how a row of activations is converted. `convert_row` returns what the sums are multiplied by.
struct Fp32Product {
    typedef VecF32 Accum;
    typedef float Value;
    static constexpr int PER_WORD = 1;
    static Accum multiply_add(Accum sum, VecU32 x, VecU32 w) { return ::multiply_add((VecF32)x, (VecF32)w, sum); }
    static VecU32 load_words(const float *w) { return load<VecU32>(w); }
    static VecU32 load_words(const uint16_t *w) { return (VecU32)load_bf16(w); }
    static VecU32 load_words(const int8_t *w) {
        int32_t wide[LANES];
        for (int i = 0; i < LANES; i++) wide[i] = w[i];
        return (VecU32)__builtin_convertvector(load<VecI32>(wide), VecF32);
    }
    static VecF32 load_floats(const float *from) { return load<VecF32>(from); }
    static void store_floats(float *to, VecF32 v) { store(to, v); }
    static float convert_row(const float *x, int n, Value *out) {
        std::memcpy(out, x, n * sizeof(float));
        return 1.f;
    }
};

#if defined(HAS_BF16_DOT)
struct Bf16Product {
    typedef VecF32 Accum;
    typedef uint16_t Value;
    static constexpr int PER_WORD = 2;
    static Accum multiply_add(Accum sum, VecU32 x, VecU32 w) { return dot_bf16(sum, x, w); }
    static VecU32 load_words(const uint16_t *w) { return load<VecU32>(w); }
    // bf16 holds every int8 exactly.
    static VecU32 load_words(const int8_t *w) {
        const VecI32 words = (VecI32)load_int8(w);
        const VecF32 low = __builtin_convertvector((words << 16) >> 16, VecF32), high = __builtin_convertvector(words >> 16, VecF32);
        return (VecU32)low >> 16 | (VecU32)high;
    }
    static VecF32 load_floats(const uint16_t *from) { return load_bf16(from); }
    static void store_floats(uint16_t *to, VecF32 v) { store_bf16(to, v); }
    static float convert_row(const float *x, int n, Value *out) {
        for (int i = 0; i < n; i += LANES) store_bf16(out + i, load<VecF32>(x + i));
        return 1.f;
    }
};
typedef Bf16Product NarrowProduct;  // what 16-bit keys, values and weights are multiplied by
#else
typedef Fp32Product NarrowProduct;
#endif

#if defined(HAS_INT16_DOT)
// 8-bit weights × activations of as many bits as leave the sums exact.
struct Int16Product {
    typedef VecI32 Accum;
    typedef int16_t Value;
    static constexpr int PER_WORD = 2;
    static Accum multiply_add(Accum sum, VecU32 x, VecU32 w) { return dot_int16(sum, (VecI16)x, (VecI16)w); }
    static VecU32 load_words(const int8_t *w) { return (VecU32)load_int8(w); }
    static float convert_row(const float *x, int n, Value *out) {
        const float scale = find_scale(x, n, int16_limit(n));
        for (int i = 0; i < n; i += LANES) store_int16(out + i, load<VecF32>(x + i) * scale);
        return 1.f / scale;
    }
};
typedef Int16Product Int8WeightProduct;
#else
typedef NarrowProduct Int8WeightProduct;
#endif

#if defined(HAS_INT8_DOT)
// 8-bit weights × 8-bit activations.
struct Int8Product {
    typedef VecI32 Accum;
    typedef int8_t Value;
    static constexpr int PER_WORD = 4;
    static Accum multiply_add(Accum sum, VecU32 x, VecU32 w) { return dot_int8(sum, x, w); }
    static VecU32 load_words(const int8_t *w) { return load<VecU32>(w) ^ (INT8_DOT_OFFSET ? 0x80808080u : 0u); }
    static float convert_row(const float *x, int n, Value *out) {
        const float scale = find_scale(x, n, 127.f);
        for (int i = 0; i < n; i += LANES) store_int8(out + i, load<VecF32>(x + i) * scale);
        return 1.f / scale;
    }
    // What the offset of the weights adds to every sum of a row.
    static int32_t find_excess(const Value *x, int n) {
        VecI32 sum{};
        for (int i = 0; i < n; i += 2 * LANES) sum = dot_int16(sum, load_int8(x + i), VecI16{} + 1);
        int32_t total = 0;
        for (int i = 0; i < LANES; i++) total += sum[i];
        return total * INT8_DOT_OFFSET;
    }
};
#endif

// sums (R, VECS · LANES) += x (R rows of words, `stride` apart) × `depth` words of a panel. Accumulators start anew every
// CHUNK words, since short sums round less.
template <typename P, int R, int VECS>
inline void micro_kernel(const uint32_t *x, int64_t stride, const uint32_t *panel, int depth, typename P::Accum *sums) {
    for (int chunk = 0; chunk < depth; chunk += CHUNK) {
        typename P::Accum accums[R][VECS];
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int c = 0; c < VECS; c++) accums[r][c] = typename P::Accum{};
        for (int k = chunk; k < std::min(chunk + CHUNK, depth); k++, panel += VECS * LANES) {
            VecU32 right[VECS];
#pragma GCC unroll 4
            for (int c = 0; c < VECS; c++) right[c] = load<VecU32>(panel + c * LANES);
#pragma GCC unroll 6
            for (int r = 0; r < R; r++) {
                const VecU32 left = broadcast_word(x[r * stride + k]);
#pragma GCC unroll 4
                for (int c = 0; c < VECS; c++) accums[r][c] = P::multiply_add(accums[r][c], left, right[c]);
            }
        }
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int c = 0; c < VECS; c++) sums[r * VECS + c] += accums[r][c];
    }
}

// Call tile<R>(first row) for rows first … last − 1, in tiles of as many rows as there are. A row's result does not depend on its tile's.
template <typename Tile> inline void for_tiles(int first, int last, Tile tile) {
    for (; first + MR <= last; first += MR) tile.template operator()<MR>(first);
    if (first + 4 <= last) tile.template operator()<4>(first), first += 4;
    if (first + 2 <= last) tile.template operator()<2>(first), first += 2;
    if (first < last) tile.template operator()<1>(first);
}

// Pack NR rows of `depth` words, a multiple of LANES, as a panel. `load_row(row, k)` returns LANES words of a row from the k-th on.
template <typename Load> inline void pack_panel(uint32_t *panel, int depth, Load load_row) {
    for (int k = 0; k < depth; k += LANES)
        for (int row = 0; row < NR; row += LANES) {
            VecU32 block[LANES];
            for (int i = 0; i < LANES; i++) block[i] = load_row(row + i, k);
            transpose(block);
            for (int i = 0; i < LANES; i++) store(panel + (k + i) * NR + row, block[i]);
        }
}
