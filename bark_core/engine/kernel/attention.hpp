// Attention of one row, one block of cached positions at a time; partial results are merged afterwards (flash decoding).

#pragma once

#include "precision.hpp"

const int BLOCK = 64;              // positions of a block
const int PREFETCH_POSITIONS = 8;  // prefetch distance of keys and values

// Prefetch the keys or values of a head into L2.
template <int D, typename T> inline void prefetch_head(const T *from) {
#pragma GCC unroll 4
    for (int i = 0; i < D; i += 64 / int(sizeof(T))) __builtin_prefetch(from + i, 0, 2);
}

// Softmax partials of one block of `count` positions, for all heads of one row: the largest score (H), the sum of exp(score −
// largest) (H), and the values weighted by these (H, D). q and `weighted` are deinterleaved as the precision has it. Keys and
// values (count, H · D) are read in memory order, which is twice as fast as head by head. `scores` holds (H, BLOCK). `next`:
// the address read after them, prefetched.
template <typename K, int D>
void attend_block(const float *q, const typename K::Cached *keys, const typename K::Cached *values, int H, int count, float *max_score,
                  float *exp_sum, float *weighted, float *scores, const void *next) {
    typedef const typename K::Cached *Ptr;
    const float scale = 1.f / std::sqrt(float(D));
    const int C = H * D;
    auto ahead = [&](Ptr from, int t, Ptr then) {
        t += PREFETCH_POSITIONS;
        return t < count ? from + int64_t(t) * C : then + int64_t(t - count) * C;
    };
    for (int t = 0; t < count; t++) {
        const Ptr here = keys + int64_t(t) * C, later = ahead(keys, t, values);
        for (int h = 0; h < H; h += 4) {
            const int n_heads = std::min(4, H - h);
            VecF32 four[4] = {};
            for (int i = 0; i < n_heads; i++) {
                prefetch_head<D>(later + (h + i) * D);
#pragma GCC unroll 8
                for (int d = (h + i) * D; d < (h + i + 1) * D; d += 2 * LANES) {
                    const VecPair pair = K::load_cached(here + d);
                    four[i] = multiply_add(load<VecF32>(q + d), pair.low, four[i]);
                    four[i] = multiply_add(load<VecF32>(q + d + LANES), pair.high, four[i]);
                }
            }
            float four_scores[4];
            reduce_add4(four, four_scores);
            for (int i = 0; i < n_heads; i++) scores[(h + i) * BLOCK + t] = four_scores[i] * scale;
        }
    }
    for (int h = 0; h < H; h++) {
        float *row = scores + h * BLOCK;
        const int padded = (count + LANES - 1) / LANES * LANES;
        std::fill(row + count, row + padded, -1e30f);
        VecF32 largest = load<VecF32>(row), sum{};
        for (int t = LANES; t < padded; t += LANES) largest = maximum(largest, load<VecF32>(row + t));
        max_score[h] = reduce_max(largest);
        for (int t = 0; t < padded; t += LANES) {
            const VecF32 e = exp_fast(load<VecF32>(row + t) - max_score[h]);
            store(row + t, e);
            sum += e;
        }
        exp_sum[h] = reduce_add(sum);
    }
    std::fill(weighted, weighted + C, 0.f);
    for (int t = 0; t < count; t++) {
        const Ptr here = values + int64_t(t) * C, later = ahead(values, t, static_cast<Ptr>(next));
        for (int h = 0; h < H; h++) {
            const VecF32 weight = broadcast(scores[h * BLOCK + t]);
            prefetch_head<D>(later + h * D);
#pragma GCC unroll 8
            for (int d = h * D; d < (h + 1) * D; d += 2 * LANES) {
                const VecPair pair = K::load_cached(here + d);
                store(weighted + d, multiply_add(weight, pair.low, load<VecF32>(weighted + d)));
                store(weighted + d + LANES, multiply_add(weight, pair.high, load<VecF32>(weighted + d + LANES)));
            }
        }
    }
}

// Merge the partials of a row's blocks, which lie `stride` apart: out (H, D).
template <typename K, int D>
void merge_blocks(const float *max_score, const float *exp_sum, const float *weighted, int n_blocks, int64_t stride, int H, float *out) {
    for (int h = 0; h < H; h++) {
        float largest = max_score[h], denominator = 0;
        for (int b = 1; b < n_blocks; b++) largest = std::max(largest, max_score[b * stride + h]);
        VecF32 merged[D / LANES] = {};
        for (int b = 0; b < n_blocks; b++) {
            const float weight = exp_fast(max_score[b * stride + h] - largest);
            denominator += weight * exp_sum[b * stride + h];
            for (int d = 0; d < D / LANES; d++) merged[d] = multiply_add(broadcast(weight), load<VecF32>(weighted + b * stride + h * D + d * LANES), merged[d]);
        }
        float deinterleaved[D];
        for (int d = 0; d < D / LANES; d++) store(deinterleaved + d * LANES, merged[d] / denominator);
        for (int d = 0; d < D; d += 2 * LANES) K::interleave(deinterleaved + d, out + h * D + d);
    }
}
