// The three precisions of a step: the types of weights, activations and cached keys and values, and their multiply-add.
//
// A precision takes WIDTH inputs at once. `convert` writes WIDTH activations of a row as its products want them;
// `deinterleave` and `interleave` do so for the 2 · LANES values that `load_cached` returns in two vectors.

#pragma once

#include "math.hpp"

struct VecPair { VecF32 low, high; };

// Keys and values in fp32 lie as they are computed with.
struct CachedFp32 {
    typedef float Cached;
    static VecPair load_cached(const Cached *c) { return {load<VecF32>(c), load<VecF32>(c + LANES)}; }
    static void store_cached(Cached *c, VecF32 x) { store(c, x); }
    static void deinterleave(const float *from, float *to) { std::memcpy(to, from, 2 * LANES * sizeof(float)); }
    static void interleave(const float *from, float *to) { std::memcpy(to, from, 2 * LANES * sizeof(float)); }
};

struct Fp32 : CachedFp32 {
    typedef float Weight, Act;
    typedef VecF32 Accum, WeightVec, ActVec;
    static constexpr int WIDTH = LANES;
    static WeightVec load_weights(const Weight *w) { return load<VecF32>(w); }
    static ActVec load_acts(const Act *x) { return keep_in_register(load<VecF32>(x)); }
    static Accum multiply_add(Accum sum, WeightVec w, ActVec x) { return ::multiply_add(w, x, sum); }
    static VecF32 to_float(Accum sum) { return sum; }
    static float find_scale(const float *, int) { return 1.f; }
    static void convert(const float *x, float, Act *out) { store(out, load<VecF32>(x)); }
};

// Keys and values in bf16 are read as words of two, the even ones and the odd ones.
struct CachedBf16 {
    typedef uint16_t Cached;
    static VecPair load_cached(const Cached *c) {
        const VecU32 words = load<VecU32>(c);
        return {low_bf16(words), high_bf16(words)};
    }
    static void store_cached(Cached *c, VecF32 x) { store_bf16(c, x); }
    static void deinterleave(const float *from, float *to) {
        for (int i = 0; i < LANES; i++) to[i] = from[2 * i], to[LANES + i] = from[2 * i + 1];
    }
    static void interleave(const float *from, float *to) {
        for (int i = 0; i < LANES; i++) to[2 * i] = from[i], to[2 * i + 1] = from[LANES + i];
    }
};

#if defined(HAS_BF16_DOT)
struct Bf16 : CachedBf16 {
    typedef uint16_t Weight, Act;
    typedef VecF32 Accum;
    typedef VecU32 WeightVec, ActVec;
    static constexpr int WIDTH = 2 * LANES;
    static WeightVec load_weights(const Weight *w) { return load<VecU32>(w); }
    static ActVec load_acts(const Act *x) { return keep_in_register(load<VecU32>(x)); }
    static Accum multiply_add(Accum sum, WeightVec w, ActVec x) { return dot_bf16(sum, w, x); }
    static VecF32 to_float(Accum sum) { return sum; }
    static float find_scale(const float *, int) { return 1.f; }
    static void convert(const float *x, float, Act *out) {
        store_bf16(out, load<VecF32>(x));
        store_bf16(out + LANES, load<VecF32>(x + LANES));
    }
};
#else
// Without products of bf16 the weights are widened, and activations stay fp32.
struct Bf16 : CachedBf16 {
    typedef uint16_t Weight;
    typedef float Act;
    typedef VecF32 Accum;
    typedef VecPair WeightVec, ActVec;
    static constexpr int WIDTH = 2 * LANES;
    static WeightVec load_weights(const Weight *w) { return load_cached(w); }
    static ActVec load_acts(const Act *x) { return {load<VecF32>(x), load<VecF32>(x + LANES)}; }
    static Accum multiply_add(Accum sum, const WeightVec &w, const ActVec &x) { return ::multiply_add(w.high, x.high, ::multiply_add(w.low, x.low, sum)); }
    static VecF32 to_float(Accum sum) { return sum; }
    static float find_scale(const float *, int) { return 1.f; }
    static void convert(const float *x, float, Act *out) { deinterleave(x, out); }
};
#endif

// 8-bit weights × 16-bit activations: quantising the activations costs next to no accuracy, and the sums in int32 are exact.
struct Int8 : CachedBf16 {
    typedef int8_t Weight;
    typedef int16_t Act;
    typedef VecI32 Accum;
    typedef VecI16 WeightVec, ActVec;
    static constexpr int WIDTH = 2 * LANES;
    static WeightVec load_weights(const Weight *w) { return load_int8(w); }
    static ActVec load_acts(const Act *x) { return keep_in_register(load<VecI16>(x)); }
    static Accum multiply_add(Accum sum, WeightVec w, ActVec x) { return dot_int16(sum, w, x); }
    static VecF32 to_float(Accum sum) { return __builtin_convertvector(sum, VecF32); }
    static float find_scale(const float *x, int n) { return ::find_scale(x, n, int16_limit(n / LANES)); }
    static void convert(const float *x, float scale, Act *out) {
        store_int16(out, load<VecF32>(x) * scale);
        store_int16(out + LANES, load<VecF32>(x + LANES) * scale);
    }
};
