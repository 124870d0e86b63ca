// One decoding step of a causal GPT: every layer for a handful of rows, one token each.
//
// A row's keys and values lie in a slot of the cache. Rows may share one, at positions of their own: all of a layer's keys and
// values are stored before any is read, and a row reads those up to its position; so several tokens of one sequence may go
// through a step together, each as if those before it had been there already.
//
// A step reads every weight once and is bound by memory bandwidth. Every loop that reads memory prefetches what is read after
// it, so that reading goes on while the threads wait at a barrier. Attention is computed in blocks of so many positions,
// whatever the number of rows and threads, and merged in order: so the result depends on neither, and the blocks balance the threads.

#pragma once

#include <numeric>

#include "attention.hpp"
#include "skinny_gemm.hpp"
#include "thread_pool.hpp"

struct Block { int row, slot, index, count; };

// The rows' state during a step, shared by all threads: each writes its own columns; barriers come before reading others'.
struct StepState {
    AlignedVector<float> x, qkv, linear_out, mlp_hidden, partials;
    std::vector<Block> blocks;  // by rows
    std::vector<int> firsts;    // each row's first block, and the end
    std::vector<int> order;     // blocks as they are computed: what rows of one slot read in common, one after the other
    StepState(const float *from, int n_rows, int C, int H, const int32_t *slots, const int64_t *positions)
        : x(from, from + size_t(n_rows) * C), qkv(size_t(n_rows) * 3 * C), linear_out(size_t(n_rows) * C), mlp_hidden(size_t(n_rows) * 4 * C) {
        for (int r = 0; r < n_rows; r++) {
            firsts.push_back(int(blocks.size()));
            for (int at = 0; at <= positions[r]; at += BLOCK) blocks.push_back({r, slots[r], at / BLOCK, std::min(BLOCK, int(positions[r]) + 1 - at)});
        }
        firsts.push_back(int(blocks.size()));
        order.resize(blocks.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [this](int a, int b) {
            return std::pair(blocks[a].slot, blocks[a].index) < std::pair(blocks[b].slot, blocks[b].index);
        });
        partials.resize(blocks.size() * stride(C, H));
    }
    // A block's partials: weighted values (C), largest scores (H), sums of exponentials (H).
    static int64_t stride(int C, int H) { return (C + 2 * H + 15) / 16 * 16; }
};

// What one thread does in a step.
template <typename K>
class StepWorker {
    typedef typename K::Cached Cached;

  public:
    StepWorker(ThreadPool &pool, const Model &m, int n_rows, const int32_t *slots, const int64_t *positions, StepState &s, int thread)
        : pool(pool), m(m), n_rows(n_rows), slots(slots), positions(positions), s(s), C(m.width), H(m.n_head), D(C / H),
          blocks(split_range(int(s.blocks.size()), 1, thread, pool.n)), columns(split_range(C, 16, thread, pool.n)),
          mlp_columns(split_range(4 * C, 16, thread, pool.n)),
          normed(C), act_scales(n_rows), queries(size_t(n_rows) * C), scores(size_t(n_rows) * H * BLOCK), acts(size_t(n_rows) * 4 * C),
          partials(n_rows) {}

    void run() {
        for (int layer = 0; layer < m.n_layer; layer++) {
            const Layer &l = m.layers[layer];
            pack_normed(l.norm1_weight, l.norm1_bias);
            for (int part = 0; part < 3; part++)
                linear(l.qkv, C, {part * C + columns.first, part * C + columns.last}, s.qkv, 3 * C,
                       part < 2 ? weight_rows(l.qkv, C, {(part + 1) * C + columns.first, (part + 1) * C + columns.last}) : Upcoming{cache_block(m.keys, layer, blocks.first)});
            store_kv(layer);
            pool.barrier();
            attend(layer, weight_rows(l.attn_out, C, columns).from);
            pool.barrier();
            pack_attention();
            linear(l.attn_out, C, columns, s.linear_out, C, weight_rows(l.mlp_up, C, mlp_columns));
            add_residual();
            pool.barrier();
            pack_normed(l.norm2_weight, l.norm2_bias);
            linear(l.mlp_up, C, mlp_columns, s.mlp_hidden, 4 * C, weight_rows(l.mlp_down, 4 * C, columns));
            for (int r = 0; r < n_rows; r++)
                for (int o = mlp_columns.first; o < mlp_columns.last; o += LANES) {
                    float *hidden = &s.mlp_hidden[size_t(r) * 4 * C + o];
                    store(hidden, gelu(load<VecF32>(hidden)));
                }
            pool.barrier();
            pack_rows(s.mlp_hidden, 4 * C);
            linear(l.mlp_down, 4 * C, columns, s.linear_out, C, weight_rows((&l)[layer + 1 < m.n_layer].qkv, C, columns));
            add_residual();
            pool.barrier();
        }
    }

  private:
    // The weights of some outputs.
    static Upcoming weight_rows(const Linear &linear, int n, Range outputs) {
        return {static_cast<const typename K::Weight *>(linear.weight) + int64_t(outputs.first) * n, outputs.last - outputs.first, n};
    }
    // The keys or values of the block that is the place-th to be computed.
    const Cached *cache_block(const void *cached, int layer, int place) const {
        const Block &block = s.blocks[s.order[std::min(place, int(s.order.size()) - 1)]];
        return static_cast<const Cached *>(cached) + layer * m.layer_stride + block.slot * m.row_stride + int64_t(block.index) * BLOCK * C;
    }
    void pack_rows(const AlignedVector<float> &from, int n) {
        for (int r = 0; r < n_rows; r++) pack_activations<K>(from.data() + size_t(r) * n, n, r, n_rows, acts.data(), act_scales.data());
    }
    void pack_normed(const float *weight, const float *bias) {
        for (int r = 0; r < n_rows; r++) {
            layer_norm(s.x.data() + size_t(r) * C, weight, bias, normed.data(), C);
            pack_activations<K>(normed.data(), C, r, n_rows, acts.data(), act_scales.data());
        }
    }
    void linear(const Linear &linear, int n, Range outputs, AlignedVector<float> &out, int64_t stride, Upcoming next) {
        skinny_gemm<K>(linear, acts.data(), act_scales.data(), n_rows, n, outputs.first, outputs.last, out.data(), stride, next);
    }
    void add_residual() {
        for (int r = 0; r < n_rows; r++)
            for (int o = columns.first; o < columns.last; o++) s.x[size_t(r) * C + o] += s.linear_out[size_t(r) * C + o];
    }
    // Store this thread's part of every row's new key and value.
    void store_kv(int layer) {
        for (int r = 0; r < n_rows; r++) {
            const int64_t here = layer * m.layer_stride + slots[r] * m.row_stride + positions[r] * C;
            const float *qkv = s.qkv.data() + size_t(r) * 3 * C;
            for (int o = columns.first; o < columns.last; o += LANES) {
                K::store_cached(static_cast<Cached *>(m.keys) + here + o, load<VecF32>(qkv + C + o));
                K::store_cached(static_cast<Cached *>(m.values) + here + o, load<VecF32>(qkv + 2 * C + o));
            }
        }
    }
    // Compute the attention partials of this thread's blocks, those of the rows that share a block together. `next`: what is read afterwards.
    void attend(int layer, const void *next) {
        const auto first_row = D == 64 ? attend_first<K, 64> : attend_first<K, 32>;
        const auto others = D == 64 ? attend_again<K, 64> : attend_again<K, 32>;
        for (int r = 0; r < n_rows; r++)
            for (int i = 0; i < C; i += 2 * LANES) K::deinterleave(&s.qkv[size_t(r) * 3 * C + i], &queries[size_t(r) * C + i]);
        for (int place = blocks.first; place < blocks.last;) {
            const Block &first = s.blocks[s.order[place]];
            const Cached *keys = cache_block(m.keys, layer, place), *values = cache_block(m.values, layer, place);
            int n = 0;
            for (; place < blocks.last; place++, n++) {
                const int b = s.order[place];
                const Block &block = s.blocks[b];
                if (block.slot != first.slot || block.index != first.index) break;
                float *weighted = s.partials.data() + b * StepState::stride(C, H);
                partials[n] = {&queries[size_t(block.row) * C], block.count, weighted + C, weighted + C + H, weighted, scores.data() + size_t(n) * H * BLOCK};
            }
            // First the row that attends to most of the block, which brings it into the caches.
            std::iter_swap(partials.begin(), std::max_element(partials.begin(), partials.begin() + n, [](auto &a, auto &b) { return a.count < b.count; }));
            first_row(partials[0], keys, values, H, place < blocks.last ? cache_block(m.keys, layer, place) : next);
            others(partials.data() + 1, n - 1, keys, values, H);
        }
    }
    void pack_attention() {
        for (int r = 0; r < n_rows; r++) {
            const float *weighted = s.partials.data() + s.firsts[r] * StepState::stride(C, H), *max_score = weighted + C, *exp_sum = max_score + H;
            const auto merge = D == 64 ? merge_blocks<K, 64> : merge_blocks<K, 32>;
            merge(max_score, exp_sum, weighted, s.firsts[r + 1] - s.firsts[r], StepState::stride(C, H), H, normed.data());
            pack_activations<K>(normed.data(), C, r, n_rows, acts.data(), act_scales.data());
        }
    }

    ThreadPool &pool;
    const Model &m;
    const int n_rows;
    const int32_t *slots;
    const int64_t *positions;
    StepState &s;
    const int C, H, D;
    const Range blocks, columns, mlp_columns;
    AlignedVector<float> normed, act_scales, queries, scores;
    AlignedVector<typename K::Act> acts;
    std::vector<Partial> partials;
};

template <typename K>
void step(ThreadPool &pool, const Model &m, int n_rows, const float *x, const int32_t *slots, const int64_t *positions, float *hidden) {
    StepState state(x, n_rows, m.width, m.n_head, slots, positions);
    pool.run([&](int thread) { StepWorker<K>(pool, m, n_rows, slots, positions, state, thread).run(); });
    for (int r = 0; r < n_rows; r++)
        layer_norm(state.x.data() + size_t(r) * m.width, m.norm_weight, m.norm_bias, hidden + size_t(r) * m.width, m.width);
}
