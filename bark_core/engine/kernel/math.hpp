// Arithmetic of the decoding step: the three kinds of weights, products of a few rows with many weights.
//
// Written in vectors of 16 floats whatever the machine's own width; the two instructions that make 16- and 8-bit
// weights fast are used where the compiler has them. A row's result never depends on how many rows there are: each
// output has one accumulator, which walks the inputs in order.

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

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

const int GROUP = 8;             // rows that one pass over the weights serves: as many as have room in registers
const int AHEAD_BYTES = 32768;  // how far ahead of their use weights are asked for: what memory brings while it answers

struct Linear {
    const void *weight;  // (outputs, inputs)
    const float *scale;  // (outputs,) with 8-bit weights, else null
    const float *bias;   // (outputs,) or null
};
struct Layer {
    const float *norm1_weight, *norm1_bias, *norm2_weight, *norm2_bias;
    Linear qkv, project, widen, narrow;
};
struct Model {
    int32_t kind;  // 0: fp32, 1: bf16, 2: 8-bit weights; keys and values are fp32 with 0, else bf16
    int32_t n_layer, n_head, width;
    const float *norm_weight, *norm_bias;
    const Layer *layers;
    void *keys, *values;  // (layers, rows, positions, width)
    int64_t layer_stride, row_stride;
};

// A vector whose first value begins a cache line, so that no read of 64 bytes touches two of them.
template <typename T> struct AtLine {
    typedef T value_type;
    AtLine() = default;
    template <typename U> AtLine(const AtLine<U> &) {}
    T *allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t(64))); }
    void deallocate(T *p, size_t) { ::operator delete(p, std::align_val_t(64)); }
    bool operator==(const AtLine &) const { return true; }
};
template <typename T> using Room = std::vector<T, AtLine<T>>;

template <typename V, typename T> inline V load(const T *from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

// Have a vector loaded once and kept: compilers put its load into every instruction that uses it, and loads are what there are too few of.
template <typename V> inline V once(V v) {
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

// 32 values as they are read at once, in two vectors: which lane holds which is the kind's affair (see `arrange`).
struct Pair { Floats low, high; };

inline Floats widen(Halves halves) {
    const Words words = __builtin_convertvector(halves, Words) << 16;
    return load<Floats>(&words);
}

inline float sum(Floats v) {
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

// Add up the lanes of each of four vectors.
inline void sum4(const Floats v[4], float out[4]) {
#if defined(__AVX512DQ__)
    const __m512 a = (__m512)v[0], b = (__m512)v[1], c = (__m512)v[2], d = (__m512)v[3];
    const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#else
    for (int i = 0; i < 4; i++) out[i] = sum(v[i]);
#endif
}

// A kind says how its weights, activations and cached keys are kept, how many inputs one go takes (STEP), and how a go
// accumulates. `prepare` keeps a row's pieces of STEP at every `hop`th place and returns what one unit of them is worth.
struct Fp32 {
    typedef float Weight, Act, Cached;
    typedef Floats Sum, Piece, Row;
    static constexpr int STEP = 16;
    static Piece fetch(const Weight *w) { return load<Floats>(w); }
    static Row take(const Act *x) { return once(load<Floats>(x)); }
    static Sum add(Sum s, Piece w, Row x) { return s + w * x; }
    static Floats finish(Sum s) { return s; }
    static float prepare(const float *x, int n, Act *out, int hop) {
        for (int k = 0; k < n; k += STEP, out += hop) std::memcpy(out, x + k, STEP * sizeof(float));
        return 1.f;
    }
    static Pair read(const Cached *c) { return {load<Floats>(c), load<Floats>(c + 16)}; }
    static void arrange(const float *from, float *to) { std::memcpy(to, from, 32 * sizeof(float)); }
    static void restore(const float *from, float *to) { std::memcpy(to, from, 32 * sizeof(float)); }
    static void write(Cached *c, float x) { *c = x; }
};

struct Bf16 {
    typedef uint16_t Weight, Act, Cached;
    typedef Floats Sum;
    static constexpr int STEP = 32;
#if defined(__AVX512BF16__)
    typedef __m512bh Piece;
    typedef __m512i Row;
    static Piece fetch(const Weight *w) { return load<__m512bh>(w); }
    static Row take(const Act *x) { return once(load<__m512i>(x)); }
    static Sum add(Sum s, Piece w, Row x) { return (Floats)_mm512_dpbf16_ps((__m512)s, w, (__m512bh)x); }
#else
    typedef Pair Piece, Row;
    static Piece fetch(const Weight *w) { return {widen(load<Halves>(w)), widen(load<Halves>(w + 16))}; }
    static Row take(const Act *x) { return fetch(x); }
    static Sum add(Sum s, const Piece &w, const Row &x) { return s + w.low * x.low + w.high * x.high; }
#endif
    static Floats finish(Sum s) { return s; }
    static float prepare(const float *x, int n, Act *out, int hop) {
        for (int k = 0; k < n; k += STEP, out += hop)
            for (int i = 0; i < STEP; i++) out[i] = to_bf16(x[k + i]);
        return 1.f;
    }
    // Neighbours share a word of 32 bits: to shift or to mask it makes 16 floats of it in one instruction.
    static Pair read(const Cached *c) {
        const Words words = load<Words>(c), low = words << 16, high = words & 0xffff0000u;
        return {load<Floats>(&low), load<Floats>(&high)};
    }
    static void arrange(const float *from, float *to) {
        for (int i = 0; i < 16; i++) to[i] = from[2 * i], to[16 + i] = from[2 * i + 1];
    }
    static void restore(const float *from, float *to) {
        for (int i = 0; i < 16; i++) to[2 * i] = from[i], to[2 * i + 1] = from[16 + i];
    }
    static void write(Cached *c, float x) { *c = to_bf16(x); }
};

// 8-bit weights times 16-bit activations, so that rounding the activations costs next to nothing. Sums are whole
// numbers and exact: a lane takes 127 × 32,767 × 2 a go, which 32 bits hold 258 times, 8,256 inputs.
struct Int8 {
    typedef int8_t Weight;
    typedef int16_t Act;
    typedef uint16_t Cached;
    typedef Ints Sum;
    static constexpr int STEP = 32;
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
    typedef __m512i Piece, Row;
    static Piece fetch(const Weight *w) { return _mm512_cvtepi8_epi16(load<__m256i>(w)); }
    static Row take(const Act *x) { return once(load<__m512i>(x)); }
    static Sum add(Sum s, Piece w, Row x) { return (Ints)_mm512_dpwssd_epi32((__m512i)s, w, x); }
#else
    typedef const Weight *Piece;
    typedef const Act *Row;
    static Piece fetch(const Weight *w) { return w; }
    static Row take(const Act *x) { return x; }
    static Sum add(Sum s, Piece w, Row x) {
        for (int i = 0; i < 16; i++) s[i] += int32_t(w[2 * i]) * x[2 * i] + int32_t(w[2 * i + 1]) * x[2 * i + 1];
        return s;
    }
#endif
    static Floats finish(Sum s) { return __builtin_convertvector(s, Floats); }
    static float prepare(const float *x, int n, Act *out, int hop) {
        float most = 1e-20f;
#pragma omp simd reduction(max : most)
        for (int i = 0; i < n; i++) most = std::fabs(x[i]) > most ? std::fabs(x[i]) : most;
        const float up = 32767.f / most;
        for (int k = 0; k < n; k += STEP, out += hop)
            for (int i = 0; i < STEP; i++) out[i] = int16_t(std::nearbyint(x[k + i] * up));
        return most / 32767.f;
    }
    static Pair read(const Cached *c) { return Bf16::read(c); }
    static void arrange(const float *from, float *to) { Bf16::arrange(from, to); }
    static void restore(const float *from, float *to) { Bf16::restore(from, to); }
    static void write(Cached *c, float x) { Bf16::write(c, x); }
};

// e^x to 2 parts in 10 million: 2^n from the exponent's bits, the rest from its series.
inline float exp_fast(float x) {
    x = std::min(std::max(x, -87.f), 88.f) * 1.44269504f;
    const float n = std::floor(x + 0.5f), f = (x - n) * 0.69314718f;
    const float series = 1.f + f * (1.f + f * (0.5f + f * (1.f / 6 + f * (1.f / 24 + f * (1.f / 120 + f * (1.f / 720))))));
    const int32_t bits = (int32_t(n) + 127) << 23;
    return series * load<float>(&bits);
}

// The exact GELU; erf by Abramowitz and Stegun's 7.1.26, which errs by 1.5e-7 at most.
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

// out[o][r] for O outputs of n inputs and R rows. Each weight is fetched once for all rows, and as many at `ahead` are asked
// for meanwhile, into the second cache: the first can wait for too few lines at once. x holds the rows' pieces in turns.
template <typename K, int O, int R>
inline void tile(const typename K::Weight *w, const typename K::Weight *ahead, const typename K::Act *x, int n, float out[O][R]) {
    typename K::Sum sums[O][R] = {};
    for (int k = 0; k < n; k += K::STEP, x += R * K::STEP) {
        typename K::Piece pieces[O];
#pragma GCC unroll 8
        for (int o = 0; o < O; o++) {
            __builtin_prefetch(ahead + int64_t(o) * n + k, 0, 2);
            pieces[o] = K::fetch(w + int64_t(o) * n + k);
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const typename K::Row row = K::take(x + r * K::STEP);
#pragma GCC unroll 8
            for (int o = 0; o < O; o++) sums[o][r] = K::add(sums[o][r], pieces[o], row);
        }
    }
    float each[(O * R + 3) / 4 * 4];
#pragma GCC unroll 8
    for (int i = 0; i < O * R; i += 4) {
        Floats four[4] = {};
#pragma GCC unroll 4
        for (int j = i; j < i + 4 && j < O * R; j++) four[j - i] = K::finish(sums[j / R][j % R]);
        sum4(four, each + i);
    }
    std::memcpy(out, each, sizeof(float) * O * R);
}

// Multiply R rows x by weight rows first … last − 1 into the same columns of out (R, stride). `next` is what is read after them.
template <typename K, int R>
void multiply_group(const Linear &linear, const typename K::Act *x, const float *worths, int n, int first, int last, float *out, int64_t stride,
                    const void *next) {
    const int O = R == 1 ? 8 : R <= 4 ? 6 : R <= 6 ? 4 : 3;  // as many accumulators as there are registers
    const typename K::Weight *weight = static_cast<const typename K::Weight *>(linear.weight);
    const int tiles = std::max(AHEAD_BYTES / int(sizeof *weight) / (O * n), 2);
    auto ahead = [&](int o) {
        o += tiles * O;
        return o < last ? weight + int64_t(o) * n : static_cast<const typename K::Weight *>(next) + int64_t(o - last) * n;
    };
    float some[O][R], one[1][R];
    auto finish = [&](int o, const float *values) {
        const float scale = linear.scale ? linear.scale[o] : 1.f, bias = linear.bias ? linear.bias[o] : 0.f;
        for (int r = 0; r < R; r++) out[r * stride + o] = values[r] * scale * worths[r] + bias;
    };
    int at = first;
    for (; at + O <= last; at += O) {
        tile<K, O, R>(weight + int64_t(at) * n, ahead(at), x, n, some);
        for (int o = 0; o < O; o++) finish(at + o, some[o]);
    }
    for (; at < last; at++) {
        tile<K, 1, R>(weight + int64_t(at) * n, ahead(at), x, n, one);
        finish(at, one[0]);
    }
}

template <typename K>
void multiply(const Linear &linear, const typename K::Act *x, const float *worths, int n_rows, int n, int first, int last, float *out, int64_t stride,
              const void *next) {
    const int block = n_rows > GROUP ? 24 : last - first;  // outputs whose weights stay near while the groups take turns
    for (int at = first; at < last; at += block) {
        const int stop = std::min(last, at + block);
        const void *then = stop < last ? static_cast<const typename K::Weight *>(linear.weight) + int64_t(stop) * n : next;
        for (int row = 0; row < n_rows; row += GROUP)
            switch (std::min(GROUP, n_rows - row)) {
#define CASE(R) case R: multiply_group<K, R>(linear, x + int64_t(row) * n, worths + row, n, at, stop, out + row * stride, stride, then); break;
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
            }
    }
}

// Keep one of the rows of activations (B, n) as `tile` wants them: by groups, and in a group piece by piece in turns.
template <typename K>
void pack(const float *row, int n, int index, int n_rows, typename K::Act *acts, float *worths) {
    const int group = index / GROUP * GROUP, R = std::min(GROUP, n_rows - group);
    worths[index] = K::prepare(row, n, acts + int64_t(group) * n + (index - group) * K::STEP, R * K::STEP);
}
