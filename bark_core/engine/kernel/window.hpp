// Many positions of one row at once: a prompt (causal attention) or a window of the fine stage (full attention).
//
// This is bound by arithmetic, not memory; all products, attention's too, run in the micro-kernel of gemm.hpp. A position's
// result does not depend on how many positions there are.

#pragma once

#include "gemm.hpp"
#include "thread_pool.hpp"

#if defined(HAS_GEMM)

// Attention of one head of width D over the positions of a row, with packed keys and values.
template <typename P, int D> class WindowAttention {
    typedef typename P::Value Value;

  public:
    explicit WindowAttention(int n_keys)
        : n_keys(n_keys), padded((n_keys + NR - 1) / NR * NR), keys(size_t(padded) * D / P::PER_WORD), values(size_t(padded) * D / P::PER_WORD),
          scores(size_t(MR) * padded), weights(size_t(MR) * padded) {}

    // Attend from positions first … n_keys − 1: q (…, D) is replaced by the attention's output. `causal`: up to the position itself, else to all.
    void run(Value *q, const Value *k, const Value *v, int64_t stride, int first, bool causal) {
        const __m512i zero = _mm512_setzero_si512();
        for (int t = 0; t < padded; t += NR)
            pack_panel(&keys[size_t(t) * D / P::PER_WORD], D / P::PER_WORD, [&](int row, int word) {
                return t + row < n_keys ? load_u32(k + (t + row) * stride + word * P::PER_WORD) : zero;
            });
        for (int t = 0; t < n_keys; t++)
            for (int d = 0; d < D; d++) reinterpret_cast<Value *>(values.data())[(int64_t(t / P::PER_WORD) * D + d) * P::PER_WORD + t % P::PER_WORD] = v[t * stride + d];
        for (; first + MR <= n_keys; first += MR) tile<MR>(q + first * stride, stride, first, causal);
        for (; first < n_keys; first++) tile<1>(q + first * stride, stride, first, causal);
    }

  private:
    template <int R> void tile(Value *q, int64_t stride, int first, bool causal) {
        const int seen = causal ? first + R : n_keys, padded_seen = (seen + P::PER_WORD - 1) / P::PER_WORD;
        VecF32 scores_tile[R][NR / 16], weighted[R][D / 16];
        uint32_t queries[R][D / P::PER_WORD];
        float denominator[R];
        for (int r = 0; r < R; r++) std::memcpy(queries[r], q + r * stride, sizeof queries[r]);
        for (int t = 0; t < seen; t += NR) {
            micro_kernel<P, R, NR / 16>(queries[0], D / P::PER_WORD, &keys[size_t(t) * D / P::PER_WORD], D / P::PER_WORD, scores_tile);
            for (int r = 0; r < R; r++) std::memcpy(&scores[r * padded + t], scores_tile[r], sizeof scores_tile[r]);
        }
        for (int r = 0; r < R; r++) denominator[r] = softmax(&scores[r * padded], &weights[r * padded], causal ? first + r + 1 : n_keys, padded_seen * P::PER_WORD);
        micro_kernel<P, R, D / 16>(reinterpret_cast<const uint32_t *>(weights.data()), padded / P::PER_WORD, values.data(), padded_seen, weighted);
        for (int r = 0; r < R; r++)
            for (int c = 0; c < D / 16; c++) P::store(q + r * stride + 16 * c, weighted[r][c] / denominator[r]);
    }
    // exp(score − largest) of a position's `count` scores, then zeros up to `stop`; returns their sum, the softmax's denominator.
    static float softmax(const float *row, Value *weight, int count, int stop) {
        const float scale = 1.f / std::sqrt(float(D));
        float high = row[0], sum = 0;
#pragma omp simd reduction(max : high)
        for (int t = 1; t < count; t++) high = row[t] > high ? row[t] : high;
#pragma omp simd reduction(+ : sum)
        for (int t = 0; t < count; t++) {
            const float e = exp_fast((row[t] - high) * scale);
            weight[t] = P::round(e);
            sum += e;
        }
        std::fill(weight + count, weight + stop, Value(0));
        return sum;
    }

    const int n_keys, padded;
    AlignedVector<uint32_t> keys, values;
    AlignedVector<float> scores;
    AlignedVector<Value> weights;
};

// The positions' state during a run, shared by all threads.
template <typename S> struct WindowState {
    typedef typename S::Attention::Value Value;
    AlignedVector<float> x;              // (T, C)
    AlignedVector<uint32_t> acts;        // a product's activations as words, up to 4 C values a position
    AlignedVector<Value> q, mlp_hidden;  // (T, C), then the attention's output; (T, 4 C)
    AlignedVector<float> act_scales;     // a position's quantisation scale
    AlignedVector<int32_t> act_sums;     // the sum of a position's quantised activations
    WindowState(const float *from, int T, int C)
        : x(from, from + size_t(T) * C), acts(size_t(T) * C), q(size_t(T) * C), mlp_hidden(size_t(T) * 4 * C), act_scales(T), act_sums(T) {}
};

// What one thread does.
template <typename S> class WindowWorker {
    typedef typename S::Product P;
    typedef typename S::Attention A;
    typedef typename A::Value Value;
    static constexpr bool INT8_ACTS = P::PER_WORD == 4;  // activations are quantised to 8 bits, too

  public:
    WindowWorker(ThreadPool &pool, const Model &m, WindowState<S> &s, int T, int start, int row, bool causal, int first, int thread)
        : pool(pool), m(m), s(s), T(T), start(start), row(row), causal(causal), first(first), C(m.width), thread(thread),
          panel(size_t(P::KC) * NR), normed(C) {}

    void run() {
        for (int layer = 0; layer < m.n_layer; layer++) {
            const Layer &l = m.layers[layer];
            const int begin = layer == m.n_layer - 1 ? first : 0;  // the last layer runs only for the positions wanted
            Value *keys = cached(m.keys, layer), *values = cached(m.values, layer);
            norm(l.norm1_weight, l.norm1_bias, 0);
            linear(l.qkv, s.acts.data(), C, 0, C, begin, store_to(s.q.data(), C));
            linear(l.qkv, s.acts.data(), C, C, C, 0, store_to(keys + int64_t(start) * C - C, C));
            linear(l.qkv, s.acts.data(), C, 2 * C, C, 0, store_to(values + int64_t(start) * C - 2 * C, C));
            pool.barrier();
            m.width / m.n_head == 64 ? attend<64>(keys, values, begin) : attend<32>(keys, values, begin);
            pool.barrier();
            linear(l.attn_out, to_acts(s.q, C, begin), C, 0, C, begin, add_residual());
            pool.barrier();
            norm(l.norm2_weight, l.norm2_bias, begin);
            linear(l.mlp_up, s.acts.data(), C, 0, 4 * C, begin, [&](int t, int o, VecF32 v[4]) {
                float each[NR];
                std::memcpy(each, v, sizeof each);
                for (int i = 0; i < NR; i++) each[i] = gelu(each[i]);
                for (int c = 0; c < 4; c++) A::store(&s.mlp_hidden[size_t(t) * 4 * C + o + 16 * c], load<VecF32>(each + 16 * c));
            });
            pool.barrier();
            linear(l.mlp_down, to_acts(s.mlp_hidden, 4 * C, begin), 4 * C, 0, C, begin, add_residual());
            pool.barrier();
        }
    }

  private:
    Value *cached(void *all, int layer) const { return static_cast<Value *>(all) + layer * m.layer_stride + row * m.row_stride; }

    // Epilogues: take NR outputs of a position t, from the o-th on.
    auto store_to(Value *to, int64_t stride) {
        return [=](int t, int o, VecF32 v[4]) {
            for (int c = 0; c < 4; c++) A::store(to + t * stride + o + 16 * c, v[c]);
        };
    }
    auto add_residual() {
        return [this](int t, int o, VecF32 v[4]) {
            for (int c = 0; c < 4; c++) {
                float *to = &s.x[size_t(t) * C + o + 16 * c];
                const VecF32 sum = load<VecF32>(to) + v[c];
                std::memcpy(to, &sum, sizeof sum);
            }
        };
    }
    Range my_rows(int begin) const {
        const Range r = split_range(T - begin, 1, thread, pool.n);
        return {begin + r.first, begin + r.last};
    }
    void norm(const float *weight, const float *bias, int begin) {
        const Range r = my_rows(begin);
        for (int t = r.first; t < r.last; t++) {
            layer_norm(s.x.data() + size_t(t) * C, weight, bias, normed.data(), C);
            if constexpr (INT8_ACTS)
                quantize_row(normed.data(), C, t);
            else
                for (int i = 0; i < C; i++) reinterpret_cast<Value *>(s.acts.data())[size_t(t) * C + i] = A::round(normed[i]);
        }
        pool.barrier();
    }
    // Return a product's activations for values (T, n): the values themselves, or quantised ones.
    const uint32_t *to_acts(AlignedVector<Value> &from, int n, int begin) {
        if constexpr (INT8_ACTS) {
            const Range r = my_rows(begin);
            normed.resize(n);
            for (int t = r.first; t < r.last; t++) {
                for (int i = 0; i < n; i += 16) {
                    const VecF32 v = bf16_to_f32(load<VecU16>(&from[size_t(t) * n + i]));
                    std::memcpy(&normed[i], &v, sizeof v);
                }
                quantize_row(normed.data(), n, t);
            }
            pool.barrier();
            return s.acts.data();
        } else {
            return reinterpret_cast<const uint32_t *>(from.data());
        }
    }
    void quantize_row(const float *x, int n, int t) {
        float largest = 1e-20f;
#pragma omp simd reduction(max : largest)
        for (int i = 0; i < n; i++) largest = std::fabs(x[i]) > largest ? std::fabs(x[i]) : largest;
        const float up = 127.f / largest;
        int8_t *to = reinterpret_cast<int8_t *>(s.acts.data()) + size_t(t) * n;
        int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < n; i++) {
            const int32_t quantized = int32_t(std::nearbyint(x[i] * up));
            to[i] = int8_t(quantized);
            sum += quantized;
        }
        s.act_scales[t] = largest / 127.f;
        s.act_sums[t] = sum;
    }

    // Pass outputs first_output … + count of positions begin … T − 1 to `epilogue`. A depth above KC is split into partial sums, the bias in the first.
    template <typename Epilogue>
    void linear(const Linear &linear, const uint32_t *acts, int n, int first_output, int count, int begin, Epilogue epilogue) {
        const Range outputs = split_range(count, NR, thread, pool.n);
        for (int o = first_output + outputs.first; o < first_output + outputs.last; o += NR)
            for (int k = 0; k < n / P::PER_WORD; k += P::KC) {
                const int depth = std::min(P::KC, n / P::PER_WORD - k);
                pack_panel(panel.data(), depth, [&](int i, int word) { return S::load_words(linear.weight, int64_t(o + i) * n + (k + word) * P::PER_WORD); });
                int t = begin;
                for (; t + MR <= T; t += MR) tile<MR>(linear, acts + k, n / P::PER_WORD, depth, t, o, k == 0, epilogue);
                for (; t < T; t++) tile<1>(linear, acts + k, n / P::PER_WORD, depth, t, o, k == 0, epilogue);
            }
    }
    template <int R, typename Epilogue>
    void tile(const Linear &linear, const uint32_t *acts, int64_t stride, int depth, int t, int o, bool add_bias, Epilogue &epilogue) {
        typename P::Accum sums[R][4];
        micro_kernel<P, R, 4>(acts + t * stride, stride, panel.data(), depth, sums);
        for (int r = 0; r < R; r++) {
            VecF32 out[4];
            for (int c = 0; c < 4; c++) {
                if constexpr (INT8_ACTS)
                    out[c] = __builtin_convertvector(sums[r][c] - 128 * s.act_sums[t + r], VecF32) * s.act_scales[t + r];
                else
                    out[c] = sums[r][c];
                if (linear.scale) out[c] *= load<VecF32>(linear.scale + o + 16 * c);
                if (linear.bias && add_bias) out[c] += load<VecF32>(linear.bias + o + 16 * c);
            }
            epilogue(t + r, o, out);
        }
    }
    template <int D> void attend(const Value *keys, const Value *values, int begin) {
        WindowAttention<A, D> head(start + T);
        const Range heads = split_range(m.n_head, 1, thread, pool.n);
        // WindowAttention counts positions from the row's beginning, q from the window's.
        for (int h = heads.first; h < heads.last; h++)
            head.run(s.q.data() + h * D - int64_t(start) * C, keys + h * D, values + h * D, C, start + begin, causal);
    }

    ThreadPool &pool;
    const Model &m;
    WindowState<S> &s;
    const int T, start, row;
    const bool causal;
    const int first, C, thread;
    AlignedVector<uint32_t> panel;
    AlignedVector<float> normed;
};

template <typename S>
void window_run(ThreadPool &pool, const Model &m, int T, int start, int row, bool causal, int first, const float *x, float *hidden) {
    WindowState<S> state(x, T, m.width);
    pool.run([&](int thread) { WindowWorker<S>(pool, m, state, T, start, row, causal, first, thread).run(); });
    for (int t = first; t < T; t++)
        layer_norm(state.x.data() + size_t(t) * m.width, m.norm_weight, m.norm_bias, hidden + size_t(t - first) * m.width, m.width);
}

#endif
