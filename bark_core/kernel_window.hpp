// Attention of a whole window on itself, in bf16: what the fine stage spends a third of its time on when torch does it.
//
// Scores stay in fp32 and weights go to bf16, as torch's own kernel has it. Keys and values are laid out anew for each head,
// so that one instruction multiplies pairs of them for 16 positions or dimensions at once.

#pragma once

#include "kernel_math.hpp"

#if defined(__AVX512BF16__)

const int WIDE = 64;   // keys, or dimensions, that a tile goes over: four vectors
const int TALL = 6;    // queries that a tile takes at once: 24 sums fill the registers

// out (R, 64) = pairs of x (R rows, `stride` pairs apart) times `depth` rows of 64 pairs.
template <int R> inline void window_tile(const uint32_t *x, int64_t stride, const uint32_t *pairs, int depth, Floats out[R][4]) {
    Floats sums[R][4] = {};
    for (int k = 0; k < depth; k++, pairs += WIDE) {
        __m512bh right[4];
        for (int c = 0; c < 4; c++) right[c] = load<__m512bh>(pairs + 16 * c);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const __m512bh left = (__m512bh)_mm512_set1_epi32(int(x[r * stride + k]));
#pragma GCC unroll 4
            for (int c = 0; c < 4; c++) sums[r][c] = (Floats)_mm512_dpbf16_ps((__m512)sums[r][c], left, right[c]);
        }
    }
    std::memcpy(out, sums, sizeof sums);
}

// One head of D = 64 on a window of T positions, T a multiple of 64. q, k, v and out are (T, 64), their rows `stride` and `width` apart.
class WindowHead {
  public:
    explicit WindowHead(int T) : T(T), keys(size_t(T) * 32), values(size_t(T) * 32), scores(size_t(TALL) * T), weights(size_t(TALL) * T) {}

    void run(const uint16_t *q, const uint16_t *k, const uint16_t *v, int64_t stride, uint16_t *out, int64_t width) {
        for (int t = 0; t < T; t++)
            for (int d = 0; d < 32; d++) std::memcpy(&keys[(t / WIDE * 32 + d) * WIDE + t % WIDE], k + t * stride + 2 * d, 4);
        for (int t = 0; t < T; t += 2)
            for (int d = 0; d < WIDE; d++) values[t / 2 * WIDE + d] = v[t * stride + d] | uint32_t(v[(t + 1) * stride + d]) << 16;
        int at = 0;
        for (; at + TALL <= T; at += TALL) take<TALL>(q + at * stride, stride, out + at * width, width);
        for (; at < T; at++) take<1>(q + at * stride, stride, out + at * width, width);
    }

  private:
    template <int R> void take(const uint16_t *q, int64_t stride, uint16_t *out, int64_t width) {
        Floats tile[R][4];
        uint32_t asked[R][32];
        float total[R];
        for (int r = 0; r < R; r++) std::memcpy(asked[r], q + r * stride, sizeof asked[r]);
        for (int t = 0; t < T; t += WIDE) {
            window_tile<R>(asked[0], 32, keys.data() + t * 32, 32, tile);
            for (int r = 0; r < R; r++) std::memcpy(&scores[r * T + t], tile[r], sizeof tile[r]);
        }
        for (int r = 0; r < R; r++) total[r] = weigh(&scores[r * T], &weights[r * T]);
        window_tile<R>(reinterpret_cast<const uint32_t *>(weights.data()), T / 2, values.data(), T / 2, tile);
        for (int r = 0; r < R; r++) {
            float found[WIDE];
            std::memcpy(found, tile[r], sizeof found);
            for (int d = 0; d < WIDE; d++) out[r * width + d] = to_bf16(found[d] / total[r]);
        }
    }
    // Make bf16 weights of a row's scores, largest 1; return what they add up to.
    float weigh(const float *row, uint16_t *weight) const {
        float high = row[0], sum = 0;
#pragma omp simd reduction(max : high)
        for (int t = 1; t < T; t++) high = row[t] > high ? row[t] : high;
#pragma omp simd reduction(+ : sum)
        for (int t = 0; t < T; t++) {
            const float e = exp_fast((row[t] - high) * 0.125f);
            weight[t] = to_bf16(e);
            sum += e;
        }
        return sum;
    }

    const int T;
    Room<uint32_t> keys, values;
    Room<float> scores;
    Room<uint16_t> weights;
};

#endif
