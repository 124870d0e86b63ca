// Attention to one block of cached positions at a time; a row's partial results are merged afterwards (flash decoding).

#pragma once

#include "precision.hpp"

const int BLOCK = 64;              // positions of a block
const int PREFETCH_POSITIONS = 8;  // prefetch distance of keys and values

// Prefetch the keys or values of a head into L2.
template <int D, typename T> inline void prefetch_head(const T *from) {
#pragma GCC unroll 4
    for (int i = 0; i < D; i += 64 / int(sizeof(T))) __builtin_prefetch(from + i, 0, 2);
}

// What one row has to do with a block: its query (H, D), to how many of the positions it attends, and what comes of it, softmax
// partials: the largest score (H), the sum of exp(score − largest) (H), and the values weighted by these (H, D). q and `weighted` are
// deinterleaved as the precision has it. `scores` holds (H, BLOCK).
struct Partial {
    const float *q;
    int count;
    float *max_score, *exp_sum, *weighted, *scores;
};

// A row's scores → exp(score − largest), with the largest and the sums.
inline void softmax_scores(const Partial &p, int H) {
    for (int h = 0; h < H; h++) {
        float *row = p.scores + h * BLOCK;
        const int padded = (p.count + LANES - 1) / LANES * LANES;
        std::fill(row + p.count, row + padded, -1e30f);
        VecF32 largest = load<VecF32>(row), sum{};
        for (int t = LANES; t < padded; t += LANES) largest = maximum(largest, load<VecF32>(row + t));
        p.max_score[h] = reduce_max(largest);
        for (int t = 0; t < padded; t += LANES) {
            const VecF32 e = exp_fast(load<VecF32>(row + t) - p.max_score[h]);
            store(row + t, e);
            sum += e;
        }
        p.exp_sum[h] = reduce_add(sum);
    }
}

// Softmax partials of one block for one row, positions in memory order, which reads from memory twice as fast as head by head. `next`:
// the address read after them, prefetched.
template <typename K, int D>
void attend_first(const Partial &p, const typename K::Cached *keys, const typename K::Cached *values, int H, const void *next) {
    typedef const typename K::Cached *Ptr;
    const float scale = 1.f / std::sqrt(float(D));
    const int C = H * D;
    auto ahead = [&](Ptr from, int t, Ptr then) {
        t += PREFETCH_POSITIONS;
        return t < p.count ? from + int64_t(t) * C : then + int64_t(t - p.count) * C;
    };
    for (int t = 0; t < p.count; t++) {
        const Ptr here = keys + int64_t(t) * C, later = ahead(keys, t, values);
        for (int h = 0; h < H; h += 4) {
            const int n_heads = std::min(4, H - h);
            VecF32 four[4] = {};
            for (int i = 0; i < n_heads; i++) {
                prefetch_head<D>(later + (h + i) * D);
#pragma GCC unroll 8
                for (int d = (h + i) * D; d < (h + i + 1) * D; d += 2 * LANES) {
                    const VecPair pair = K::load_cached(here + d);
                    four[i] = multiply_add(load<VecF32>(p.q + d), pair.low, four[i]);
                    four[i] = multiply_add(load<VecF32>(p.q + d + LANES), pair.high, four[i]);
                }
            }
            float four_scores[4];
            reduce_add4(four, four_scores);
            for (int i = 0; i < n_heads; i++) p.scores[(h + i) * BLOCK + t] = four_scores[i] * scale;
        }
    }
    softmax_scores(p, H);
    std::fill(p.weighted, p.weighted + C, 0.f);
    for (int t = 0; t < p.count; t++) {
        const Ptr here = values + int64_t(t) * C, later = ahead(values, t, static_cast<Ptr>(next));
        for (int h = 0; h < H; h++) {
            const VecF32 weight = broadcast(p.scores[h * BLOCK + t]);
            prefetch_head<D>(later + h * D);
#pragma GCC unroll 8
            for (int d = h * D; d < (h + 1) * D; d += 2 * LANES) {
                const VecPair pair = K::load_cached(here + d);
                store(p.weighted + d, multiply_add(weight, pair.low, load<VecF32>(p.weighted + d)));
                store(p.weighted + d + LANES, multiply_add(weight, pair.high, load<VecF32>(p.weighted + d + LANES)));
            }
        }
    }
}

// The same, to the last bit, for the further rows of a block, which is in the processor's caches now: head by head, whose sums stay in registers.
template <typename K, int D>
void attend_again(const Partial *partials, int n, const typename K::Cached *keys, const typename K::Cached *values, int H) {
    const float scale = 1.f / std::sqrt(float(D));
    const int C = H * D;
    for (int h = 0; h < H; h++)
        for (const Partial *p = partials; p < partials + n; p++) {
            float *scores = p->scores + h * BLOCK;
            for (int t = 0; t < p->count; t += 4) {
                VecF32 four[4] = {};
#pragma GCC unroll 8
                for (int d = h * D; d < (h + 1) * D; d += 2 * LANES) {
                    const VecF32 low = load<VecF32>(p->q + d), high = load<VecF32>(p->q + d + LANES);
#pragma GCC unroll 4
                    for (int i = 0; i < 4; i++) {
                        const VecPair pair = K::load_cached(keys + int64_t(std::min(t + i, p->count - 1)) * C + d);
                        four[i] = multiply_add(low, pair.low, four[i]);
                        four[i] = multiply_add(high, pair.high, four[i]);
                    }
                }
                float four_scores[4];
                reduce_add4(four, four_scores);
                for (int i = 0; i < 4; i++) scores[t + i] = four_scores[i] * scale;
            }
        }
    for (const Partial *p = partials; p < partials + n; p++) softmax_scores(*p, H);
    for (int h = 0; h < H; h++)
        for (const Partial *p = partials; p < partials + n; p++) {
            VecF32 sums[D / LANES] = {};
            for (int t = 0; t < p->count; t++) {
                const VecF32 weight = broadcast(p->scores[h * BLOCK + t]);
#pragma GCC unroll 8
                for (int i = 0; i < D / LANES; i += 2) {
                    const VecPair pair = K::load_cached(values + int64_t(t) * C + h * D + i * LANES);
                    sums[i] = multiply_add(weight, pair.low, sums[i]);
                    sums[i + 1] = multiply_add(weight, pair.high, sums[i + 1]);
                }
            }
#pragma GCC unroll 8
            for (int i = 0; i < D / LANES; i++) store(p->weighted + h * D + i * LANES, sums[i]);
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
