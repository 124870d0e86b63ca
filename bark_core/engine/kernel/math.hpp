// Arithmetic of the decoding step: the three precisions, and the product of a few rows of activations with a weight matrix.
//
// Written in vectors of 16 floats whatever the processor's own width; AVX-512 BF16 and VNNI are used where the compiler
// has them. A row's result does not depend on the number of rows: each output has one vector accumulator per row, which
// takes the inputs in order.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef float VecF32 __attribute__((vector_size(64)));
typedef int32_t VecI32 __attribute__((vector_size(64)));
typedef uint32_t VecU32 __attribute__((vector_size(64)));
typedef uint16_t VecU16 __attribute__((vector_size(32)));

const int ROWS_PER_PASS = 8;       // rows of activations that one pass over the weights serves: limited by registers
const int PREFETCH_BYTES = 32768;  // prefetch distance of weights: about memory latency × bandwidth

struct Linear {
    const void *weight;  // (outputs, inputs)
    const float *scale;  // (outputs,) with 8-bit weights, else null
    const float *bias;   // (outputs,) or null
};
struct Layer {
    const float *norm1_weight, *norm1_bias, *norm2_weight, *norm2_bias;
    Linear qkv, attn_out, mlp_up, mlp_down;
};
struct Model {
    int32_t kind;  // 0: fp32, 1: bf16, 2: 8-bit weights; keys and values are fp32 with 0, else bf16
    int32_t n_layer, n_head, width;
    const float *norm_weight, *norm_bias;
    const Layer *layers;
    void *keys, *values;  // (layers, rows, positions, width)
    int64_t layer_stride, row_stride;
};

// A std::vector aligned to a cache line (64 bytes), so that no vector load crosses two.
template <typename T> struct AlignedAllocator {
    typedef T value_type;
    AlignedAllocator() = default;
    template <typename U> AlignedAllocator(const AlignedAllocator<U> &) {}
    T *allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t(64))); }
    void deallocate(T *p, size_t) { ::operator delete(p, std::align_val_t(64)); }
    bool operator==(const AlignedAllocator &) const { return true; }
};
template <typename T> using AlignedVector = std::vector<T, AlignedAllocator<T>>;

template <typename V, typename T> inline V load(const T *from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

// Keep a loaded vector in a register. Otherwise GCC folds the load into every instruction that uses it, and load ports are the limit.
template <typename V> inline V keep_in_register(V v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#endif
    return v;
}

inline uint16_t to_bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// 32 values in two vectors. Which lane holds which value depends on the precision, see `deinterleave`.
struct VecPair { VecF32 low, high; };

inline VecF32 bf16_to_f32(VecU16 bf16) {
    const VecU32 words = __builtin_convertvector(bf16, VecU32) << 16;
    return load<VecF32>(&words);
}

inline float reduce_add(VecF32 v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float lanes[16];
    std::memcpy(lanes, &v, sizeof v);
    for (int step = 8; step; step /= 2)
        for (int i = 0; i < step; i++) lanes[i] += lanes[i + step];
    return lanes[0];
#endif
}

// Horizontal sums of four vectors.
inline void reduce_add4(const VecF32 v[4], float out[4]) {
#if defined(__AVX512DQ__)
    const __m512 a = (__m512)v[0], b = (__m512)v[1], c = (__m512)v[2], d = (__m512)v[3];
    const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#else
    for (int i = 0; i < 4; i++) out[i] = reduce_add(v[i]);
#endif
}

// A precision: the types of weights, activations and cached keys and values, the inputs taken per iteration (STEP), and
// the multiply-add. `convert_row` writes each STEP of a row `stride` activations apart and returns the row's scale.
struct Fp32 {
    typedef float Weight, Act, Cached;
    typedef VecF32 Accum, WeightVec, ActVec;
    static constexpr int STEP = 16;
    static WeightVec load_weights(const Weight *w) { return load<VecF32>(w); }
    static ActVec load_acts(const Act *x) { return keep_in_register(load<VecF32>(x)); }
    static Accum multiply_add(Accum s, WeightVec w, ActVec x) { return s + w * x; }
    static VecF32 to_float(Accum s) { return s; }
    static float convert_row(const float *x, int n, Act *out, int stride) {
        for (int k = 0; k < n; k += STEP, out += stride) std::memcpy(out, x + k, STEP * sizeof(float));
        return 1.f;
    }
    static VecPair load_cached(const Cached *c) { return {load<VecF32>(c), load<VecF32>(c + 16)}; }
    static void deinterleave(const float *from, float *to) { std::memcpy(to, from, 32 * sizeof(float)); }
    static void interleave(const float *from, float *to) { std::memcpy(to, from, 32 * sizeof(float)); }
    static void store_cached(Cached *c, float x) { *c = x; }
};

struct Bf16 {
    typedef uint16_t Weight, Act, Cached;
    typedef VecF32 Accum;
    static constexpr int STEP = 32;
#if defined(__AVX512BF16__)
    typedef __m512bh WeightVec;
    typedef __m512i ActVec;
    static WeightVec load_weights(const Weight *w) { return load<__m512bh>(w); }
    static ActVec load_acts(const Act *x) { return keep_in_register(load<__m512i>(x)); }
    static Accum multiply_add(Accum s, WeightVec w, ActVec x) { return (VecF32)_mm512_dpbf16_ps((__m512)s, w, (__m512bh)x); }
#else
    typedef VecPair WeightVec, ActVec;
    static WeightVec load_weights(const Weight *w) { return {bf16_to_f32(load<VecU16>(w)), bf16_to_f32(load<VecU16>(w + 16))}; }
    static ActVec load_acts(const Act *x) { return load_weights(x); }
    static Accum multiply_add(Accum s, const WeightVec &w, const ActVec &x) { return s + w.low * x.low + w.high * x.high; }
#endif
    static VecF32 to_float(Accum s) { return s; }
    static float convert_row(const float *x, int n, Act *out, int stride) {
        for (int k = 0; k < n; k += STEP, out += stride)
            for (int i = 0; i < STEP; i++) out[i] = to_bf16(x[k + i]);
        return 1.f;
    }
    // Two bf16 share a 32-bit lane; a shift gives the even ones as fp32, a mask the odd ones.
    static VecPair load_cached(const Cached *c) {
        const VecU32 words = load<VecU32>(c), low = words << 16, high = words & 0xffff0000u;
        return {load<VecF32>(&low), load<VecF32>(&high)};
    }
    static void deinterleave(const float *from, float *to) {
        for (int i = 0; i < 16; i++) to[i] = from[2 * i], to[16 + i] = from[2 * i + 1];
    }
    static void interleave(const float *from, float *to) {
        for (int i = 0; i < 16; i++) to[2 * i] = from[i], to[2 * i + 1] = from[16 + i];
    }
    static void store_cached(Cached *c, float x) { *c = to_bf16(x); }
};

// 8-bit weights × 16-bit activations: quantising the activations costs next to no accuracy. Accumulation in int32 is
// exact: a lane adds at most 127 × 32,767 × 2 per iteration, which fits 258 times, i.e. for 8,256 inputs.
struct Int8 {
    typedef int8_t Weight;
    typedef int16_t Act;
    typedef uint16_t Cached;
    typedef VecI32 Accum;
    static constexpr int STEP = 32;
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
    typedef __m512i WeightVec, ActVec;
    static WeightVec load_weights(const Weight *w) { return _mm512_cvtepi8_epi16(load<__m256i>(w)); }
    static ActVec load_acts(const Act *x) { return keep_in_register(load<__m512i>(x)); }
    static Accum multiply_add(Accum s, WeightVec w, ActVec x) { return (VecI32)_mm512_dpwssd_epi32((__m512i)s, w, x); }
#else
    typedef const Weight *WeightVec;
    typedef const Act *ActVec;
    static WeightVec load_weights(const Weight *w) { return w; }
    static ActVec load_acts(const Act *x) { return x; }
    static Accum multiply_add(Accum s, WeightVec w, ActVec x) {
        for (int i = 0; i < 16; i++) s[i] += int32_t(w[2 * i]) * x[2 * i] + int32_t(w[2 * i + 1]) * x[2 * i + 1];
        return s;
    }
#endif
    static VecF32 to_float(Accum s) { return __builtin_convertvector(s, VecF32); }
    static float convert_row(const float *x, int n, Act *out, int stride) {
        float largest = 1e-20f;
#pragma omp simd reduction(max : largest)
        for (int i = 0; i < n; i++) largest = std::fabs(x[i]) > largest ? std::fabs(x[i]) : largest;
        const float up = 32767.f / largest;
        for (int k = 0; k < n; k += STEP, out += stride)
            for (int i = 0; i < STEP; i++) out[i] = int16_t(std::nearbyint(x[k + i] * up));
        return largest / 32767.f;
    }
    static VecPair load_cached(const Cached *c) { return Bf16::load_cached(c); }
    static void deinterleave(const float *from, float *to) { Bf16::deinterleave(from, to); }
    static void interleave(const float *from, float *to) { Bf16::interleave(from, to); }
    static void store_cached(Cached *c, float x) { Bf16::store_cached(c, x); }
};

// e^x with a relative error of 2e-7: 2^n through the exponent bits, the remainder by its Taylor series.
inline float exp_fast(float x) {
    x = std::min(std::max(x, -87.f), 88.f) * 1.44269504f;
    const float n = std::floor(x + 0.5f), f = (x - n) * 0.69314718f;
    const float series = 1.f + f * (1.f + f * (0.5f + f * (1.f / 6 + f * (1.f / 24 + f * (1.f / 120 + f * (1.f / 720))))));
    const int32_t bits = (int32_t(n) + 127) << 23;
    return series * load<float>(&bits);
}

// The exact (erf) GELU, with erf by Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7).
inline float gelu(float x) {
    const float z = std::fabs(x) * 0.70710678f, t = 1.f / (1.f + 0.3275911f * z);
    const float tail = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    return 0.5f * x * (1.f + std::copysign(1.f - tail * exp_fast(-z * z), x));
}

inline void layer_norm(const float *x, const float *weight, const float *bias, float *out, int n) {
    float mean = 0, square = 0;
#pragma omp simd reduction(+ : mean)
    for (int i = 0; i < n; i++) mean += x[i];
    mean /= n;
#pragma omp simd reduction(+ : square)
    for (int i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean);
    const float by = 1.f / std::sqrt(square / n + 1e-5f);
    for (int i = 0; i < n; i++) out[i] = (x[i] - mean) * by * weight[i] + (bias ? bias[i] : 0.f);
}

// Micro-kernel of O outputs × R rows over n inputs: out[o][r]. Each weight is loaded once for all rows. As many weights at
// `ahead` are prefetched into L2, since L1 has too few fill buffers. x interleaves the rows, STEP by STEP.
template <typename K, int O, int R>
inline void skinny_tile(const typename K::Weight *w, const typename K::Weight *ahead, const typename K::Act *x, int n, float out[O][R]) {
    typename K::Accum accums[O][R] = {};
    for (int k = 0; k < n; k += K::STEP, x += R * K::STEP) {
        typename K::WeightVec weights[O];
#pragma GCC unroll 8
        for (int o = 0; o < O; o++) {
            __builtin_prefetch(ahead + int64_t(o) * n + k, 0, 2);
            weights[o] = K::load_weights(w + int64_t(o) * n + k);
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const typename K::ActVec row = K::load_acts(x + r * K::STEP);
#pragma GCC unroll 8
            for (int o = 0; o < O; o++) accums[o][r] = K::multiply_add(accums[o][r], weights[o], row);
        }
    }
    float each[(O * R + 3) / 4 * 4];
#pragma GCC unroll 8
    for (int i = 0; i < O * R; i += 4) {
        VecF32 four[4] = {};
#pragma GCC unroll 4
        for (int j = i; j < i + 4 && j < O * R; j++) four[j - i] = K::to_float(accums[j / R][j % R]);
        reduce_add4(four, each + i);
    }
    std::memcpy(out, each, sizeof(float) * O * R);
}

// Multiply R rows x by weight rows first … last − 1 into the same columns of out (R, stride). `next`: the address read after them, prefetched.
template <typename K, int R>
void skinny_gemm_pass(const Linear &linear, const typename K::Act *x, const float *act_scales, int n, int first, int last, float *out,
                      int64_t stride, const void *next) {
    const int O = R == 1 ? 8 : R <= 4 ? 6 : R <= 6 ? 4 : 3;  // O × R accumulators fill the registers
    const typename K::Weight *weight = static_cast<const typename K::Weight *>(linear.weight);
    const int tiles = std::max(PREFETCH_BYTES / int(sizeof *weight) / (O * n), 2);
    auto ahead = [&](int o) {
        o += tiles * O;
        return o < last ? weight + int64_t(o) * n : static_cast<const typename K::Weight *>(next) + int64_t(o - last) * n;
    };
    float full[O][R], single[1][R];
    auto finish = [&](int o, const float *values) {
        const float scale = linear.scale ? linear.scale[o] : 1.f, bias = linear.bias ? linear.bias[o] : 0.f;
        for (int r = 0; r < R; r++) out[r * stride + o] = values[r] * scale * act_scales[r] + bias;
    };
    int at = first;
    for (; at + O <= last; at += O) {
        skinny_tile<K, O, R>(weight + int64_t(at) * n, ahead(at), x, n, full);
        for (int o = 0; o < O; o++) finish(at + o, full[o]);
    }
    for (; at < last; at++) {
        skinny_tile<K, 1, R>(weight + int64_t(at) * n, ahead(at), x, n, single);
        finish(at, single[0]);
    }
}

template <typename K>
void skinny_gemm(const Linear &linear, const typename K::Act *x, const float *act_scales, int n_rows, int n, int first, int last, float *out,
                 int64_t stride, const void *next) {
    const int block = n_rows > ROWS_PER_PASS ? 24 : last - first;  // outputs whose weights stay in cache between the passes
    for (int at = first; at < last; at += block) {
        const int stop = std::min(last, at + block);
        const void *then = stop < last ? static_cast<const typename K::Weight *>(linear.weight) + int64_t(stop) * n : next;
        for (int row = 0; row < n_rows; row += ROWS_PER_PASS)
            switch (std::min(ROWS_PER_PASS, n_rows - row)) {
#define CASE(R) case R: skinny_gemm_pass<K, R>(linear, x + int64_t(row) * n, act_scales + row, n, at, stop, out + row * stride, stride, then); break;
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
            }
    }
}

// Convert one row of activations (B, n) and pack it as `skinny_tile` reads it: the rows of a pass interleaved, STEP by STEP.
template <typename K>
void pack_activations(const float *row, int n, int index, int n_rows, typename K::Act *acts, float *act_scales) {
    const int group = index / ROWS_PER_PASS * ROWS_PER_PASS, R = std::min(ROWS_PER_PASS, n_rows - group);
    act_scales[index] = K::convert_row(row, n, acts + int64_t(group) * n + (index - group) * K::STEP, R * K::STEP);
}
