// The product of a few rows of activations with a weight matrix, bound by reading the weights.
//
// A row's result does not depend on the number of rows: each output has one vector accumulator a row, which takes the inputs
// in order.

#pragma once

#include <algorithm>

#include "precision.hpp"
#include "types.hpp"

const int ROWS_PER_PASS = REGISTERS == 32 ? 8 : 4;  // rows of activations that one pass over the weights serves: limited by registers
const int BLOCK_OUTPUTS = 24;                       // outputs whose weights stay in cache between the passes
const int PREFETCH_BYTES = 32768;                   // prefetch distance of weights: about memory latency × bandwidth

// Inputs of one iteration, whatever the vector's width; the rows of a pass are interleaved in these pieces.
template <typename K> constexpr int STEP = sizeof(typename K::Weight) == 4 ? 16 : 32;

// O outputs × R rows: the accumulators that fill the registers.
constexpr int outputs_per_tile(int R) {
    if (REGISTERS == 32) return R == 1 ? 8 : R <= 4 ? 6 : R <= 6 ? 4 : 3;
    return R == 1 ? 8 : R == 2 ? 5 : 3;
}

// Micro-kernel of O outputs × R rows over n inputs: out[o][r]. Each weight is loaded once for all rows. As many weights at
// `ahead` are prefetched into L2, since L1 has too few fill buffers.
template <typename K, int O, int R>
inline void skinny_tile(const typename K::Weight *w, const typename K::Weight *ahead, const typename K::Act *x, int n, float out[O][R]) {
    typename K::Accum accums[O][R] = {};
    for (int k = 0; k < n; k += STEP<K>, x += R * STEP<K>) {
#pragma GCC unroll 8
        for (int o = 0; o < O; o++) __builtin_prefetch(ahead + int64_t(o) * n + k, 0, 2);
#pragma GCC unroll 4
        for (int i = 0; i < STEP<K>; i += K::WIDTH) {
            if constexpr (R == 1) {
                const typename K::ActVec row = K::load_acts(x + i);
#pragma GCC unroll 8
                for (int o = 0; o < O; o++) accums[o][0] = K::multiply_add(accums[o][0], K::load_weights(w + int64_t(o) * n + k + i), row);
            } else {
                typename K::WeightVec weights[O];
#pragma GCC unroll 8
                for (int o = 0; o < O; o++) weights[o] = K::load_weights(w + int64_t(o) * n + k + i);
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) {
                    const typename K::ActVec row = K::load_acts(x + r * STEP<K> + i);
#pragma GCC unroll 8
                    for (int o = 0; o < O; o++) accums[o][r] = K::multiply_add(accums[o][r], weights[o], row);
                }
            }
        }
    }
    constexpr int PADDED = (O * R + 3) / 4 * 4;
    VecF32 floats[PADDED] = {};
    float each[PADDED];
#pragma GCC unroll 8
    for (int o = 0; o < O; o++)
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) floats[o * R + r] = K::to_float(accums[o][r]);
#pragma GCC unroll 8
    for (int i = 0; i < PADDED; i += 4) reduce_add4(floats + i, each + i);
    std::memcpy(out, each, sizeof(float) * O * R);
}

// Multiply R rows x by weight rows first … last − 1 into the same columns of out (R, stride). `next`: the address read after them, prefetched.
template <typename K, int R>
void skinny_gemm_pass(const Linear &linear, const typename K::Act *x, const float *act_scales, int n, int first, int last, float *out,
                      int64_t stride, const void *next) {
    constexpr int O = outputs_per_tile(R);
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
    const int block = n_rows > ROWS_PER_PASS ? BLOCK_OUTPUTS : last - first;
    for (int at = first; at < last; at += block) {
        const int stop = std::min(last, at + block);
        const void *then = stop < last ? static_cast<const typename K::Weight *>(linear.weight) + int64_t(stop) * n : next;
        for (int row = 0; row < n_rows; row += ROWS_PER_PASS) {
            auto pass = [&]<int R>() { skinny_gemm_pass<K, R>(linear, x + int64_t(row) * n, act_scales + row, n, at, stop, out + row * stride, stride, then); };
            const int R = std::min(ROWS_PER_PASS, n_rows - row);
            if (R == 1) pass.template operator()<1>();
            if (R == 2) pass.template operator()<2>();
            if (R == 3) pass.template operator()<3>();
            if (R == 4) pass.template operator()<4>();
            if constexpr (ROWS_PER_PASS == 8) {
                if (R == 5) pass.template operator()<5>();
                if (R == 6) pass.template operator()<6>();
                if (R == 7) pass.template operator()<7>();
                if (R == 8) pass.template operator()<8>();
            }
        }
    }
}

// Convert one row of activations (B, n) and pack it as `skinny_tile` reads it: the rows of a pass interleaved, STEP by STEP.
template <typename K>
void pack_activations(const float *row, int n, int index, int n_rows, typename K::Act *acts, float *act_scales) {
    const int first = index / ROWS_PER_PASS * ROWS_PER_PASS, R = std::min(ROWS_PER_PASS, n_rows - first);
    const float scale = K::find_scale(row, n);
    typename K::Act *out = acts + int64_t(first) * n + (index - first) * STEP<K>;
    for (int k = 0; k < n; k += STEP<K>, out += R * STEP<K>)
        for (int i = 0; i < STEP<K>; i += K::WIDTH) K::convert(row + k + i, scale, out + i);
    act_scales[index] = 1.f / scale;
}
