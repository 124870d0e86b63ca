// Many positions of one row at once: a prompt's, which look back, or a window of the fine stage's, which see each other.
//
// Here the processor's products are the limit, not memory; all of them, attention's too, are made by the tiles of
// tile.hpp. A position's result never depends on how many there are.

#pragma once

#include "pool.hpp"
#include "tile.hpp"

#if defined(TILES_OF_SINGLES)

// One head of D on the positions of a row: what its keys and values are laid out in.
template <typename P, int D> class WindowHead {
    typedef typename P::Value Value;

  public:
    explicit WindowHead(int n_keys)
        : n_keys(n_keys), room((n_keys + WIDE - 1) / WIDE * WIDE), keys(size_t(room) * D / P::PER), values(size_t(room) * D / P::PER),
          scores(size_t(TALL) * room), weights(size_t(TALL) * room) {}

    // Let positions first … n_keys − 1 attend: q (…, D) becomes what they gather. A position sees those up to itself, or all.
    void run(Value *q, const Value *k, const Value *v, int64_t stride, int first, bool causal) {
        const __m512i nothing = _mm512_setzero_si512();
        for (int t = 0; t < room; t += WIDE)
            fill_panel(&keys[size_t(t) * D / P::PER], D / P::PER, [&](int row, int word) {
                return t + row < n_keys ? words_at(k + (t + row) * stride + word * P::PER) : nothing;
            });
        for (int t = 0; t < n_keys; t++)
            for (int d = 0; d < D; d++) reinterpret_cast<Value *>(values.data())[(int64_t(t / P::PER) * D + d) * P::PER + t % P::PER] = v[t * stride + d];
        for (; first + TALL <= n_keys; first += TALL) take<TALL>(q + first * stride, stride, first, causal);
        for (; first < n_keys; first++) take<1>(q + first * stride, stride, first, causal);
    }

  private:
    template <int R> void take(Value *q, int64_t stride, int first, bool causal) {
        const int seen = causal ? first + R : n_keys, read = (seen + P::PER - 1) / P::PER;
        Floats tile[R][WIDE / 16], gathered[R][D / 16];
        uint32_t asked[R][D / P::PER];
        float total[R];
        for (int r = 0; r < R; r++) std::memcpy(asked[r], q + r * stride, sizeof asked[r]);
        for (int t = 0; t < seen; t += WIDE) {
            window_tile<P, R, WIDE / 16>(asked[0], D / P::PER, &keys[size_t(t) * D / P::PER], D / P::PER, tile);
            for (int r = 0; r < R; r++) std::memcpy(&scores[r * room + t], tile[r], sizeof tile[r]);
        }
        for (int r = 0; r < R; r++) total[r] = weigh(&scores[r * room], &weights[r * room], causal ? first + r + 1 : n_keys, read * P::PER);
        window_tile<P, R, D / 16>(reinterpret_cast<const uint32_t *>(weights.data()), room / P::PER, values.data(), read, gathered);
        for (int r = 0; r < R; r++)
            for (int c = 0; c < D / 16; c++) P::store(q + r * stride + 16 * c, gathered[r][c] / total[r]);
    }
    // Make weights of a position's `count` scores, largest 1, and none of those up to `stop`; return what they add up to.
    static float weigh(const float *row, Value *weight, int count, int stop) {
        const float by = 1.f / std::sqrt(float(D));
        float high = row[0], sum = 0;
#pragma omp simd reduction(max : high)
        for (int t = 1; t < count; t++) high = row[t] > high ? row[t] : high;
#pragma omp simd reduction(+ : sum)
        for (int t = 0; t < count; t++) {
            const float e = exp_fast((row[t] - high) * by);
            weight[t] = P::round(e);
            sum += e;
        }
        std::fill(weight + count, weight + stop, Value(0));
        return sum;
    }

    const int n_keys, room;
    Room<uint32_t> keys, values;
    Room<float> scores;
    Room<Value> weights;
};

// The positions' state during a run, shared by all threads.
template <typename S> struct WindowState {
    typedef typename S::Attention::Value Value;
    Room<float> x;         // (T, C)
    Room<uint32_t> acts;   // what a product takes: words, up to 4 C values a position
    Room<Value> q, wide;   // (T, C), then what was gathered; (T, 4 C)
    Room<float> worths;    // what one unit of a position's whole numbers is worth
    Room<int32_t> totals;  // what they add up to
    WindowState(const float *from, int T, int C)
        : x(from, from + size_t(T) * C), acts(size_t(T) * C), q(size_t(T) * C), wide(size_t(T) * 4 * C), worths(T), totals(T) {}
};

// What one thread does.
template <typename S> class WindowWorker {
    typedef typename S::Product P;
    typedef typename S::Attention A;
    typedef typename A::Value Value;
    static constexpr bool WHOLE = P::PER == 4;  // activations are whole numbers, too

  public:
    WindowWorker(Pool &pool, const Model &m, WindowState<S> &s, int T, int start, int row, bool causal, int first, int thread)
        : pool(pool), m(m), s(s), T(T), start(start), row(row), causal(causal), first(first), C(m.width), thread(thread),
          panel(size_t(P::DEEP) * WIDE), normed(C) {}

    void run() {
        for (int layer = 0; layer < m.n_layer; layer++) {
            const Layer &l = m.layers[layer];
            const int begin = layer == m.n_layer - 1 ? first : 0;  // only those who are asked for go through the last layer
            Value *keys = cached(m.keys, layer), *values = cached(m.values, layer);
            norm(l.norm1_weight, l.norm1_bias, 0);
            times(l.qkv, s.acts.data(), C, 0, C, begin, keep(s.q.data(), C));
            times(l.qkv, s.acts.data(), C, C, C, 0, keep(keys + int64_t(start) * C - C, C));
            times(l.qkv, s.acts.data(), C, 2 * C, C, 0, keep(values + int64_t(start) * C - 2 * C, C));
            pool.meet();
            m.width / m.n_head == 64 ? attend<64>(keys, values, begin) : attend<32>(keys, values, begin);
            pool.meet();
            times(l.project, settle(s.q, C, begin), C, 0, C, begin, add());
            pool.meet();
            norm(l.norm2_weight, l.norm2_bias, begin);
            times(l.widen, s.acts.data(), C, 0, 4 * C, begin, [&](int t, int o, Floats v[4]) {
                float each[WIDE];
                std::memcpy(each, v, sizeof each);
                for (int i = 0; i < WIDE; i++) each[i] = gelu(each[i]);
                for (int c = 0; c < 4; c++) A::store(&s.wide[size_t(t) * 4 * C + o + 16 * c], load<Floats>(each + 16 * c));
            });
            pool.meet();
            times(l.narrow, settle(s.wide, 4 * C, begin), 4 * C, 0, C, begin, add());
            pool.meet();
        }
    }

  private:
    Value *cached(void *all, int layer) const { return static_cast<Value *>(all) + layer * m.layer_stride + row * m.row_stride; }

    // What becomes of 64 outputs of a position, from the o-th on.
    auto keep(Value *to, int64_t stride) {
        return [=](int t, int o, Floats v[4]) {
            for (int c = 0; c < 4; c++) A::store(to + t * stride + o + 16 * c, v[c]);
        };
    }
    auto add() {
        return [this](int t, int o, Floats v[4]) {
            for (int c = 0; c < 4; c++) {
                float *to = &s.x[size_t(t) * C + o + 16 * c];
                const Floats sum = load<Floats>(to) + v[c];
                std::memcpy(to, &sum, sizeof sum);
            }
        };
    }
    Range mine(int begin) const {
        const Range r = share(T - begin, 1, thread, pool.n);
        return {begin + r.first, begin + r.last};
    }
    void norm(const float *weight, const float *bias, int begin) {
        const Range r = mine(begin);
        for (int t = r.first; t < r.last; t++) {
            layer_norm(s.x.data() + size_t(t) * C, weight, bias, normed.data(), C);
            if constexpr (WHOLE)
                make_whole(normed.data(), C, t);
            else
                for (int i = 0; i < C; i++) reinterpret_cast<Value *>(s.acts.data())[size_t(t) * C + i] = A::round(normed[i]);
        }
        pool.meet();
    }
    // Return what a product takes of (T, n) values: themselves, or whole numbers in their place.
    const uint32_t *settle(Room<Value> &from, int n, int begin) {
        if constexpr (WHOLE) {
            const Range r = mine(begin);
            normed.resize(n);
            for (int t = r.first; t < r.last; t++) {
                for (int i = 0; i < n; i += 16) {
                    const Floats v = widen(load<Halves>(&from[size_t(t) * n + i]));
                    std::memcpy(&normed[i], &v, sizeof v);
                }
                make_whole(normed.data(), n, t);
            }
            pool.meet();
            return s.acts.data();
        } else {
            return reinterpret_cast<const uint32_t *>(from.data());
        }
    }
    void make_whole(const float *x, int n, int t) {
        float most = 1e-20f;
#pragma omp simd reduction(max : most)
        for (int i = 0; i < n; i++) most = std::fabs(x[i]) > most ? std::fabs(x[i]) : most;
        const float up = 127.f / most;
        int8_t *to = reinterpret_cast<int8_t *>(s.acts.data()) + size_t(t) * n;
        int32_t total = 0;
#pragma omp simd reduction(+ : total)
        for (int i = 0; i < n; i++) {
            const int32_t whole = int32_t(std::nearbyint(x[i] * up));
            to[i] = int8_t(whole);
            total += whole;
        }
        s.worths[t] = most / 127.f;
        s.totals[t] = total;
    }

    // Give `sink` outputs first_output … + count of positions begin … T − 1; a long product in parts that add up, the bias in the first.
    template <typename Sink>
    void times(const Linear &linear, const uint32_t *acts, int n, int first_output, int count, int begin, Sink sink) {
        const Range outputs = share(count, WIDE, thread, pool.n);
        for (int o = first_output + outputs.first; o < first_output + outputs.last; o += WIDE)
            for (int k = 0; k < n / P::PER; k += P::DEEP) {
                const int depth = std::min(P::DEEP, n / P::PER - k);
                fill_panel(panel.data(), depth, [&](int i, int word) { return S::fetch(linear.weight, int64_t(o + i) * n + (k + word) * P::PER); });
                int t = begin;
                for (; t + TALL <= T; t += TALL) take<TALL>(linear, acts + k, n / P::PER, depth, t, o, k == 0, sink);
                for (; t < T; t++) take<1>(linear, acts + k, n / P::PER, depth, t, o, k == 0, sink);
            }
    }
    template <int R, typename Sink>
    void take(const Linear &linear, const uint32_t *acts, int64_t stride, int depth, int t, int o, bool biased, Sink &sink) {
        typename P::Sum sums[R][4];
        window_tile<P, R, 4>(acts + t * stride, stride, panel.data(), depth, sums);
        for (int r = 0; r < R; r++) {
            Floats made[4];
            for (int c = 0; c < 4; c++) {
                if constexpr (WHOLE)
                    made[c] = __builtin_convertvector(sums[r][c] - 128 * s.totals[t + r], Floats) * s.worths[t + r];
                else
                    made[c] = sums[r][c];
                if (linear.scale) made[c] *= load<Floats>(linear.scale + o + 16 * c);
                if (linear.bias && biased) made[c] += load<Floats>(linear.bias + o + 16 * c);
            }
            sink(t + r, o, made);
        }
    }
    template <int D> void attend(const Value *keys, const Value *values, int begin) {
        WindowHead<A, D> head(start + T);
        const Range heads = share(m.n_head, 1, thread, pool.n);
        // Positions are counted from the row's beginning there, and from the run's in q.
        for (int h = heads.first; h < heads.last; h++)
            head.run(s.q.data() + h * D - int64_t(start) * C, keys + h * D, values + h * D, C, start + begin, causal);
    }

    Pool &pool;
    const Model &m;
    WindowState<S> &s;
    const int T, start, row;
    const bool causal;
    const int first, C, thread;
    Room<uint32_t> panel;
    Room<float> normed;
};

template <typename S>
void window_run(Pool &pool, const Model &m, int T, int start, int row, bool causal, int first, const float *x, float *hidden) {
    WindowState<S> state(x, T, m.width);
    pool.run([&](int thread) { WindowWorker<S>(pool, m, state, T, start, row, causal, first, thread).run(); });
    for (int t = first; t < T; t++)
        layer_norm(state.x.data() + size_t(t) * m.width, m.norm_weight, m.norm_bias, hidden + size_t(t - first) * m.width, m.width);
}

#endif
