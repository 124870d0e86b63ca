// The product of a few rows of activations with a weight matrix, bound by reading the weights.
//
// A row's result does not depend on the number of rows: each output has one vector accumulator a row, which takes the inputs
// in order. The outputs of a tile lie far apart: each reads a stream of weights that goes on from tile to tile, so that the
// processor's own prefetchers follow it. Of neighbours each stream would be a row long, and short rows (768 bytes) be read at
// two thirds of the rate, measured on Zen 3.

#pragma once

#include <algorithm>

#include "precision.hpp"
#include "types.hpp"

const int ROWS_PER_PASS = REGISTERS == 32 ? 8 : 6;  // rows of activations that one pass over the weights serves: limited by registers
const int BLOCK_OUTPUTS = 24;                       // outputs whose weights stay in cache between the passes
const int PREFETCH_BYTES = 32768;                   // prefetch distance of weights: about memory latency × bandwidth

// Inputs of one iteration, whatever the vector's width; the rows of a pass are interleaved in these pieces.
template <typename K> constexpr int STEP = sizeof(typename K::Weight) == 4 ? 16 : 32;

// O outputs × R rows: the accumulators that fill the registers.
constexpr int outputs_per_tile(int R) {
    if (REGISTERS == 32) return R == 1 ? 8 : R <= 4 ? 6 : R <= 6 ? 4 : 3;
    return R == 1 ? 8 : R == 2 ? 5 : R <= 4 ? 3 : 2;
}

// What is read after a product: `outputs` rows of `inputs` weights by another one, or plain memory in order.
struct Upcoming {
    const void *from;
    int outputs = 0, inputs = 0;
};

// O streams of weights, `stride` apart.
template <typename W> struct Streams {
    const W *from;
    int64_t stride;
};

// Micro-kernel of O outputs × R rows over n inputs: out[o][r]. Each weight is loaded once for all rows. As many weights of
// `ahead` are prefetched into L2, since L1 has too few fill buffers.
template <typename K, int O, int R, typename W = typename K::Weight>
inline void skinny_tile(Streams<W> weights, Streams<W> ahead, const typename K::Act *x, int n, float out[O][R]) {
    typename K::Accum accums[O][R] = {};
    for (int k = 0; k < n; k += STEP<K>, x += R * STEP<K>) {
#pragma GCC unroll 8
        for (int o = 0; o < O; o++) __builtin_prefetch(ahead.from + o * ahead.stride + k, 0, 2);
#pragma GCC unroll 4
        for (int i = 0; i < STEP<K>; i += K::WIDTH) {
            if constexpr (R == 1) {
                const typename K::ActVec row = K::load_acts(x + i);
#pragma GCC unroll 8
                for (int o = 0; o < O; o++) accums[o][0] = K::multiply_add(accums[o][0], K::load_weights(weights.from + o * weights.stride + k + i), row);
            } else {
                typename K::WeightVec loaded[O];
#pragma GCC unroll 8
                for (int o = 0; o < O; o++) loaded[o] = K::load_weights(weights.from + o * weights.stride + k + i);
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) {
                    const typename K::ActVec row = K::load_acts(x + r * STEP<K> + i);
#pragma GCC unroll 8
                    for (int o = 0; o < O; o++) accums[o][r] = K::multiply_add(accums[o][r], loaded[o], row);
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

// Multiply R rows x by weight rows first … last − 1 into the same columns of out (R, stride), and prefetch the beginning of `next`.
template <typename K, int R>
void skinny_gemm_pass(const Linear &linear, const typename K::Act *x, const float *act_scales, int n, int first, int last, float *out,
                      int64_t stride, Upcoming next) {
    typedef typename K::Weight Weight;
    constexpr int O = outputs_per_tile(R);
    const Weight *weight = static_cast<const Weight *>(linear.weight), *then = static_cast<const Weight *>(next.from);
    const int length = (last - first) / O, next_length = next.outputs / O;  // rows of each stream
    const int distance = std::max(PREFETCH_BYTES / int(sizeof(Weight)) / (O * n), 1);
    const Streams<Weight> streams{weight + int64_t(first) * n, int64_t(length) * n};
    auto ahead = [&](int i) -> Streams<Weight> {
        if ((i += distance) < length) return {streams.from + int64_t(i) * n, streams.stride};
        const int64_t past = int64_t(i - length) * n;
        return next.outputs ? Streams<Weight>{then + past, int64_t(next_length) * next.inputs} : Streams<Weight>{then + past * O, n};
    };
    float full[O][R], single[1][R];
    auto finish = [&](int o, const float *values) {
        const float scale = linear.scale ? linear.scale[o] : 1.f, bias = linear.bias ? linear.bias[o] : 0.f;
        for (int r = 0; r < R; r++) out[r * stride + o] = values[r] * scale * act_scales[r] + bias;
    };
    for (int i = 0; i < length; i++) {
        skinny_tile<K, O, R>({streams.from + int64_t(i) * n, streams.stride}, ahead(i), x, n, full);
        for (int o = 0; o < O; o++) finish(first + o * length + i, full[o]);
    }
    for (int at = first + O * length; at < last; at++) {
        skinny_tile<K, 1, R>({weight + int64_t(at) * n, 0}, {then, 0}, x, n, single);
        finish(at, single[0]);
    }
}

template <typename K>
void skinny_gemm(const Linear &linear, const typename K::Act *x, const float *act_scales, int n_rows, int n, int first, int last, float *out,
                 int64_t stride, Upcoming next) {
    const int block = n_rows > ROWS_PER_PASS ? BLOCK_OUTPUTS : last - first;
    for (int at = first; at < last; at += block) {
        const int stop = std::min(last, at + block);
        const Upcoming then = stop < last ? Upcoming{static_cast<const typename K::Weight *>(linear.weight) + int64_t(stop) * n, std::min(block, last - stop), n} : next;
        for (int row = 0; row < n_rows; row += ROWS_PER_PASS) {
            auto pass = [&]<int R>() { skinny_gemm_pass<K, R>(linear, x + int64_t(row) * n, act_scales + row, n, at, stop, out + row * stride, stride, then); };
            const int R = std::min(ROWS_PER_PASS, n_rows - row);
            if (R == 1) pass.template operator()<1>();
            if (R == 2) pass.template operator()<2>();
            if (R == 3) pass.template operator()<3>();
            if (R == 4) pass.template operator()<4>();
            if (R == 5) pass.template operator()<5>();
            if (R == 6) pass.template operator()<6>();
            if constexpr (ROWS_PER_PASS == 8) {
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
