// Attention of one head over many positions of a row at once, with packed keys and values.

#pragma once

#include "gemm.hpp"
#include "types.hpp"

// P: the product that scores and weighted values are made with. Cached: the type of keys and values in the cache. D: the head's width.
template <typename P, typename Cached, int D> class WindowAttention {
    typedef typename P::Value Value;
    static constexpr int WORDS = D / P::PER_WORD;  // of a query or key
    static constexpr int VALUE_VECS = D / LANES < PANEL_VECS ? D / LANES : PANEL_VECS;
    static constexpr int VALUE_NR = VALUE_VECS * LANES;  // columns of a panel of values

  public:
    explicit WindowAttention(int n_keys)
        : n_keys(n_keys), padded((n_keys + NR - 1) / NR * NR), keys(size_t(padded) * WORDS), values(size_t(padded) * WORDS),
          scores(size_t(MR) * padded), weights(size_t(MR) * padded) {}

    // Attend from positions first … n_keys − 1: q (…, D) is replaced by the attention's output. `causal`: up to the position itself, else to all.
    void run(Value *q, const Cached *k, const Cached *v, int64_t stride, int first, bool causal) {
        for (int t = 0; t < padded; t += NR)
            pack_panel(&keys[size_t(t) * WORDS], WORDS, [&](int row, int word) {
                return t + row < n_keys ? P::load_words(k + (t + row) * stride + word * P::PER_WORD) : VecU32{};
            });
        pack_values(v, stride);
        for_tiles(first, n_keys, [&]<int R>(int at) { attend<R>(q + at * stride, stride, at, causal); });
    }

  private:
    // Values as panels of VALUE_NR columns: a word holds PER_WORD consecutive positions of one column.
    void pack_values(const Cached *v, int64_t stride) {
        const int n_words = padded / P::PER_WORD;
        for (int t = 0; t < n_words; t++)
            for (int d = 0; d < D; d += LANES) {
                auto row = [&](int i) {
                    const int at = t * P::PER_WORD + i;
                    return at < n_keys ? (VecU32)load_value(v + at * stride + d) : VecU32{};
                };
                const VecU32 words = P::PER_WORD == 1 ? row(0) : row(0) >> 16 | row(1);
                store(&values[(size_t(d / VALUE_NR) * n_words + t) * VALUE_NR + d % VALUE_NR], words);
            }
    }
    static VecF32 load_value(const float *v) { return load<VecF32>(v); }
    static VecF32 load_value(const uint16_t *v) { return load_bf16(v); }

    template <int R> void attend(Value *q, int64_t stride, int first, bool causal) {
        const int seen = causal ? first + R : n_keys, seen_words = (seen + P::PER_WORD - 1) / P::PER_WORD;
        uint32_t queries[R][WORDS];
        float denominator[R];
        for (int r = 0; r < R; r++) std::memcpy(queries[r], q + r * stride, sizeof queries[r]);
        for (int t = 0; t < seen; t += NR) {
            VecF32 tile[R * PANEL_VECS] = {};
            micro_kernel<P, R, PANEL_VECS>(queries[0], WORDS, &keys[size_t(t) * WORDS], WORDS, tile);
            for (int r = 0; r < R; r++) std::memcpy(&scores[r * padded + t], tile + r * PANEL_VECS, NR * sizeof(float));
        }
        for (int r = 0; r < R; r++) denominator[r] = softmax(&scores[r * padded], &weights[r * padded], causal ? first + r + 1 : n_keys, seen_words * P::PER_WORD);
        for (int d = 0; d < D; d += VALUE_NR) {
            VecF32 tile[R * VALUE_VECS] = {};
            micro_kernel<P, R, VALUE_VECS>(reinterpret_cast<const uint32_t *>(weights.data()), padded / P::PER_WORD,
                                           &values[size_t(d) * (padded / P::PER_WORD)], seen_words, tile);
            for (int r = 0; r < R; r++)
                for (int c = 0; c < VALUE_VECS; c++) P::store_floats(q + r * stride + d + c * LANES, tile[r * VALUE_VECS + c] / denominator[r]);
        }
    }
    // exp(score − largest) of a position's `count` scores, then zeros up to `stop`; returns their sum, the softmax's denominator.
    static float softmax(float *row, Value *weight, int count, int stop) {
        const float scale = 1.f / std::sqrt(float(D));
        const int rounded = (count + LANES - 1) / LANES * LANES;
        std::fill(row + count, row + rounded, -1e30f);
        VecF32 largest = load<VecF32>(row), sum{};
        for (int t = LANES; t < rounded; t += LANES) largest = maximum(largest, load<VecF32>(row + t));
        const float high = reduce_max(largest);
        for (int t = 0; t < rounded; t += LANES) {
            const VecF32 e = exp_fast((load<VecF32>(row + t) - high) * scale);
            P::store_floats(weight + t, e);
            sum += e;
        }
        std::fill(weight + count, weight + std::max(stop, rounded), Value(0));
        return reduce_add(sum);
    }

    const int n_keys, padded;
    AlignedVector<uint32_t> keys, values;
    AlignedVector<float> scores;
    AlignedVector<Value> weights;
};
