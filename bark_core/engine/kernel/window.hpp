// Many positions of one row at once: a prompt (causal attention) or a window of the fine stage (full attention).
//
// This is bound by arithmetic, not memory; all products, attention's too, run in the micro-kernel of gemm.hpp. A position's
// result does not depend on how many positions there are.

#pragma once

#include <type_traits>

#include "thread_pool.hpp"
#include "window_attention.hpp"

const int BLOCK_COLUMNS = 64;   // outputs whose packed weights stay in cache while all positions pass
const int KC = 1024;            // words of depth that are packed at once: with 64 columns 256 KB
const int BLOCK_PANELS = BLOCK_COLUMNS / NR, BLOCK_VECS = BLOCK_COLUMNS / LANES;

// A precision: the types of weights and of cached keys and values, the product of its linears and that of its attention.
template <typename W, typename C, typename L, typename A> struct WindowPrecision {
    typedef W Weight;
    typedef C Cached;
    typedef L Product;
    typedef A Attention;
};

// The positions' state during a run, shared by all threads.
template <typename S> struct WindowState {
    typedef typename S::Attention::Value Value;
    AlignedVector<float> x;                           // (T, C)
    AlignedVector<typename S::Product::Value> acts;   // a product's activations, up to 4 C a position
    AlignedVector<Value> q, mlp_hidden;               // (T, C), then the attention's output; (T, 4 C)
    AlignedVector<float> act_scales;                  // a position's quantisation scale
    AlignedVector<int32_t> excesses;                  // what is subtracted from a position's sums
    WindowState(const float *from, int T, int C)
        : x(from, from + size_t(T) * C), acts(size_t(T) * 4 * C), q(size_t(T) * C), mlp_hidden(size_t(T) * 4 * C), act_scales(T), excesses(T) {}
};

// What one thread does.
template <typename S> class WindowWorker {
    typedef typename S::Product P;
    typedef typename S::Attention A;
    typedef typename S::Cached Cached;
    typedef typename A::Value Value;
    typedef typename P::Accum Accum;
    static constexpr bool CONVERTS = !std::is_same_v<P, A>;  // whether a linear's activations are of another type than attention's

  public:
    WindowWorker(ThreadPool &pool, const Model &m, WindowState<S> &s, int T, int start, int row, bool causal, int first, int thread)
        : pool(pool), m(m), s(s), T(T), start(start), row(row), causal(causal), first(first), C(m.width), thread(thread),
          panels(size_t(KC) * BLOCK_COLUMNS), floats(4 * C) {}

    void run() {
        for (int layer = 0; layer < m.n_layer; layer++) {
            const Layer &l = m.layers[layer];
            const int begin = layer == m.n_layer - 1 ? first : 0;  // the last layer runs only for the positions wanted
            Cached *keys = cached(m.keys, layer), *values = cached(m.values, layer);
            norm(l.norm1_weight, l.norm1_bias, 0);
            linear(l.qkv, s.acts.data(), C, 0, C, begin, [&](int t, int o, const VecF32 *v) {
                for (int c = 0; c < BLOCK_VECS; c++) A::store_floats(&s.q[size_t(t) * C + o + c * LANES], v[c]);
            });
            linear(l.qkv, s.acts.data(), C, C, C, 0, store_cached(keys - C));
            linear(l.qkv, s.acts.data(), C, 2 * C, C, 0, store_cached(values - 2 * C));
            pool.barrier();
            C / m.n_head == 64 ? attend<64>(keys, values, begin) : attend<32>(keys, values, begin);
            pool.barrier();
            linear(l.attn_out, to_acts(s.q, C, begin), C, 0, C, begin, add_residual());
            pool.barrier();
            norm(l.norm2_weight, l.norm2_bias, begin);
            linear(l.mlp_up, s.acts.data(), C, 0, 4 * C, begin, [&](int t, int o, const VecF32 *v) {
                for (int c = 0; c < BLOCK_VECS; c++) A::store_floats(&s.mlp_hidden[size_t(t) * 4 * C + o + c * LANES], gelu(v[c]));
            });
            pool.barrier();
            linear(l.mlp_down, to_acts(s.mlp_hidden, 4 * C, begin), 4 * C, 0, C, begin, add_residual());
            pool.barrier();
        }
    }

  private:
    Cached *cached(void *all, int layer) const { return static_cast<Cached *>(all) + layer * m.layer_stride + row * m.row_stride; }

    // Epilogues: take BLOCK_COLUMNS outputs of a position t, from the o-th on.
    auto store_cached(Cached *to) {
        typedef std::conditional_t<std::is_same_v<Cached, float>, Fp32, CachedBf16> K;
        return [=, this](int t, int o, const VecF32 *v) {
            for (int c = 0; c < BLOCK_VECS; c++) K::store_cached(to + int64_t(start + t) * C + o + c * LANES, v[c]);
        };
    }
    auto add_residual() {
        return [this](int t, int o, const VecF32 *v) {
            float *to = &s.x[size_t(t) * C + o];
            for (int c = 0; c < BLOCK_VECS; c++) store(to + c * LANES, load<VecF32>(to + c * LANES) + v[c]);
        };
    }
    Range my_rows(int begin) const {
        const Range r = split_range(T - begin, 1, thread, pool.n);
        return {begin + r.first, begin + r.last};
    }
    void norm(const float *weight, const float *bias, int begin) {
        const Range r = my_rows(begin);
        for (int t = r.first; t < r.last; t++) {
            layer_norm(&s.x[size_t(t) * C], weight, bias, floats.data(), C);
            convert_row(C, t);
        }
        pool.barrier();
    }
    // Return a product's activations for values (T, n): the values themselves, or converted ones.
    const typename P::Value *to_acts(const AlignedVector<Value> &from, int n, int begin) {
        if constexpr (!CONVERTS) {
            return from.data();
        } else {
            const Range r = my_rows(begin);
            for (int t = r.first; t < r.last; t++) {
                for (int i = 0; i < n; i += LANES) store(&floats[i], A::load_floats(&from[size_t(t) * n + i]));
                convert_row(n, t);
            }
            pool.barrier();
            return s.acts.data();
        }
    }
    void convert_row(int n, int t) {
        typename P::Value *acts = &s.acts[size_t(t) * n];
        s.act_scales[t] = P::convert_row(floats.data(), n, acts);
        if constexpr (requires { P::find_excess(acts, n); }) s.excesses[t] = P::find_excess(acts, n);
    }

    // Pass outputs first_output … + count of positions begin … T − 1 to `epilogue`, BLOCK_COLUMNS at a time. A depth above KC
    // is split; the sums wait in between.
    template <typename Epilogue>
    void linear(const Linear &linear, const typename P::Value *acts, int n, int first_output, int count, int begin, Epilogue epilogue) {
        const typename S::Weight *weight = static_cast<const typename S::Weight *>(linear.weight);
        const uint32_t *words = reinterpret_cast<const uint32_t *>(acts);
        const int n_words = n / P::PER_WORD;
        const Range outputs = split_range(count, BLOCK_COLUMNS, thread, pool.n);
        if (n_words > KC) waiting.resize(size_t(T) * BLOCK_VECS);
        for (int o = first_output + outputs.first; o < first_output + outputs.last; o += BLOCK_COLUMNS)
            for (int k = 0; k < n_words; k += KC) {
                const int depth = std::min(KC, n_words - k);
                for (int p = 0; p < BLOCK_PANELS; p++)
                    pack_panel(&panels[size_t(p) * NR * depth], depth, [&](int i, int word) {
                        return P::load_words(weight + int64_t(o + p * NR + i) * n + (k + word) * P::PER_WORD);
                    });
                for_tiles(begin, T, [&]<int R>(int t) {
                    Accum sums[BLOCK_PANELS][R * PANEL_VECS] = {};
                    if (k) std::memcpy(sums, &waiting[size_t(t) * BLOCK_VECS], sizeof sums);
                    for (int p = 0; p < BLOCK_PANELS; p++)
                        micro_kernel<P, R, PANEL_VECS>(words + int64_t(t) * n_words + k, n_words, &panels[size_t(p) * NR * depth], depth, sums[p]);
                    if (k + depth < n_words)
                        std::memcpy(&waiting[size_t(t) * BLOCK_VECS], sums, sizeof sums);
                    else
                        for (int r = 0; r < R; r++) finish(linear, sums[0] + r * PANEL_VECS, R * PANEL_VECS, t + r, o, epilogue);
                });
            }
    }
    // Give a row's sums, whose panels lie `stride` vectors apart, to the epilogue.
    template <typename Epilogue> void finish(const Linear &linear, const Accum *sums, int stride, int t, int o, Epilogue &epilogue) {
        VecF32 out[BLOCK_VECS];
        for (int c = 0; c < BLOCK_VECS; c++) {
            const Accum sum = sums[c / PANEL_VECS * stride + c % PANEL_VECS];
            if constexpr (std::is_same_v<Accum, VecI32>)
                out[c] = __builtin_convertvector(sum - s.excesses[t], VecF32) * s.act_scales[t];
            else
                out[c] = sum;
            if (linear.scale) out[c] *= load<VecF32>(linear.scale + o + c * LANES);
            if (linear.bias) out[c] += load<VecF32>(linear.bias + o + c * LANES);
        }
        epilogue(t, o, out);
    }
    template <int D> void attend(const Cached *keys, const Cached *values, int begin) {
        WindowAttention<A, Cached, D> head(start + T);
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
    AlignedVector<uint32_t> panels;
    AlignedVector<float> floats;
    AlignedVector<Accum> waiting;  // sums of a split depth, (T, BLOCK_COLUMNS)
};

template <typename S>
void run_window(ThreadPool &pool, const Model &m, int T, int start, int row, bool causal, int first, const float *x, float *hidden) {
    WindowState<S> state(x, T, m.width);
    pool.run([&](int thread) { WindowWorker<S>(pool, m, state, T, start, row, causal, first, thread).run(); });
    for (int t = first; t < T; t++)
        layer_norm(&state.x[size_t(t) * m.width], m.norm_weight, m.norm_bias, hidden + size_t(t - first) * m.width, m.width);
}
