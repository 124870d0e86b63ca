// Attention of one row, one block of cached positions at a time; partial results are merged afterwards (flash decoding).

#pragma once

#include "math.hpp"

const int PREFETCH_POSITIONS = 8;  // prefetch distance of keys and values

// Prefetch 32 keys or values into L2.
template <typename T> inline void prefetch(const T *from) {
    for (int i = 0; i < 32; i += 64 / int(sizeof(T))) __builtin_prefetch(from + i, 0, 2);
}

// Softmax partials of one block of `count` positions, for all heads of one row: the largest score (H), the sum of exp(score −
// largest) (H), and the values weighted by these (H, D). q and `weighted` are deinterleaved as the precision has it. Keys and
// values (count, H · D) are read in memory order, which is twice as fast as head by head. `next`: the address read after them, prefetched.
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
            const int some = std::min(4, H - h);
            VecF32 four[4] = {};
            for (int i = 0; i < some; i++)
                for (int d = (h + i) * D; d < (h + i + 1) * D; d += 32) {
                    prefetch(later + d);
                    const VecPair pair = K::load_cached(here + d);
                    four[i] += load<VecF32>(q + d) * pair.low;
                    four[i] += load<VecF32>(q + d + 16) * pair.high;
                }
            float four_scores[4];
            reduce_add4(four, four_scores);
            for (int i = 0; i < some; i++) scores[(h + i) * count + t] = four_scores[i] * scale;
        }
    }
    for (int h = 0; h < H; h++) {
        float *row = scores + h * count, high = row[0], sum = 0;
#pragma omp simd reduction(max : high)
        for (int t = 1; t < count; t++) high = row[t] > high ? row[t] : high;
#pragma omp simd reduction(+ : sum)
        for (int t = 0; t < count; t++) {
            row[t] = exp_fast(row[t] - high);
            sum += row[t];
        }
        max_score[h] = high;
        exp_sum[h] = sum;
    }
    std::fill(weighted, weighted + C, 0.f);
    for (int t = 0; t < count; t++) {
        const Ptr here = values + int64_t(t) * C, later = ahead(values, t, static_cast<Ptr>(next));
        for (int h = 0; h < H; h++) {
            VecF32 sum[D / 16];
            std::memcpy(sum, weighted + h * D, sizeof sum);
            const VecF32 weight = scores[h * count + t] + VecF32{};
            for (int d = 0; d < D; d += 32) {
                prefetch(later + h * D + d);
                const VecPair pair = K::load_cached(here + h * D + d);
                sum[d / 16] += weight * pair.low;
                sum[d / 16 + 1] += weight * pair.high;
            }
            std::memcpy(weighted + h * D, sum, sizeof sum);
        }
    }
}

// Merge the partials of a row's blocks, which lie `stride` apart: out (H, D).
template <typename K, int D>
void merge_blocks(const float *max_score, const float *exp_sum, const float *weighted, int n_blocks, int64_t stride, int H, float *out) {
    for (int h = 0; h < H; h++) {
        float high = max_score[h], denominator = 0;
        for (int b = 1; b < n_blocks; b++) high = std::max(high, max_score[b * stride + h]);
        VecF32 joined[D / 16] = {};
        for (int b = 0; b < n_blocks; b++) {
            const float weight = exp_fast(max_score[b * stride + h] - high);
            denominator += weight * exp_sum[b * stride + h];
            for (int d = 0; d < D / 16; d++) joined[d] += weight * load<VecF32>(weighted + b * stride + h * D + d * 16);
        }
        float arranged[D];
        for (int d = 0; d < D / 16; d++) joined[d] /= denominator;
        std::memcpy(arranged, joined, sizeof joined);
        for (int d = 0; d < D; d += 32) K::interleave(arranged + d, out + h * D + d);
    }
}
