// How one row looks back on keys and values: block by block, in the order in which memory holds them.

#pragma once

#include "math.hpp"

const int AHEAD = 8;  // how many positions ahead of their use keys and values are asked for

// Ask for 32 keys or values, into the second cache.
template <typename T> inline void ask_for(const T *from) {
    for (int i = 0; i < 32; i += 64 / int(sizeof(T))) __builtin_prefetch(from + i, 0, 2);
}

// What `count` positions say to one row, for all its heads: H largest scores, H sums of exponentials above those, and the
// sums of values so weighted (H, D). q and the sums are as the kind arranges them. Keys and values (count, H · D) are read strictly in the
// order in which they lie: memory brings them twice as fast as in any order that would save work. `next` is what is read after them.
template <typename K, int D>
void attend(const float *q, const typename K::Cached *keys, const typename K::Cached *values, int H, int count, float *most, float *total,
            float *sums, float *scores, const void *next) {
    typedef const typename K::Cached *From;
    const float by = 1.f / std::sqrt(float(D));
    const int C = H * D;
    auto ahead = [&](From from, int t, From then) { return t + AHEAD < count ? from + int64_t(t + AHEAD) * C : then + int64_t(t + AHEAD - count) * C; };
    for (int t = 0; t < count; t++) {
        const From here = keys + int64_t(t) * C, later = ahead(keys, t, values);
        for (int h = 0; h < H; h += 4) {
            const int some = std::min(4, H - h);
            Floats four[4] = {};
            for (int i = 0; i < some; i++)
                for (int d = (h + i) * D; d < (h + i + 1) * D; d += 32) {
                    ask_for(later + d);
                    const Pair pair = K::read(here + d);
                    four[i] += load<Floats>(q + d) * pair.low;
                    four[i] += load<Floats>(q + d + 16) * pair.high;
                }
            float four_scores[4];
            sum4(four, four_scores);
            for (int i = 0; i < some; i++) scores[(h + i) * count + t] = four_scores[i] * by;
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
        most[h] = high;
        total[h] = sum;
    }
    std::fill(sums, sums + C, 0.f);
    for (int t = 0; t < count; t++) {
        const From here = values + int64_t(t) * C, later = ahead(values, t, static_cast<From>(next));
        for (int h = 0; h < H; h++) {
            Floats sum[D / 16];
            std::memcpy(sum, sums + h * D, sizeof sum);
            const Floats weight = scores[h * count + t] + Floats{};
            for (int d = 0; d < D; d += 32) {
                ask_for(later + h * D + d);
                const Pair pair = K::read(here + h * D + d);
                sum[d / 16] += weight * pair.low;
                sum[d / 16 + 1] += weight * pair.high;
            }
            std::memcpy(sums + h * D, sum, sizeof sum);
        }
    }
}

// Bring what several blocks of positions said to one row together: out (H, D). A block's parts lie `stride` apart.
template <typename K, int D>
void join_blocks(const float *most, const float *total, const float *sums, int n_blocks, int64_t stride, int H, float *out) {
    for (int h = 0; h < H; h++) {
        float high = most[h], whole = 0;
        for (int b = 1; b < n_blocks; b++) high = std::max(high, most[b * stride + h]);
        Floats joined[D / 16] = {};
        for (int b = 0; b < n_blocks; b++) {
            const float weight = exp_fast(most[b * stride + h] - high);
            whole += weight * total[b * stride + h];
            for (int d = 0; d < D / 16; d++) joined[d] += weight * load<Floats>(sums + b * stride + h * D + d * 16);
        }
        float arranged[D];
        for (int d = 0; d < D / 16; d++) joined[d] /= whole;
        std::memcpy(arranged, joined, sizeof joined);
        for (int d = 0; d < D; d += 32) K::restore(arranged + d, out + h * D + d);
    }
}
