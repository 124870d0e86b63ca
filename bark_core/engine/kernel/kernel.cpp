// One decoding step of a causal GPT on a CPU: every layer for a handful of rows, one token each, in one call.
//
// A step reads every weight once and can be no faster than memory allows; all else is arranged to hide behind that. Whoever
// reads something is told what is read after it, so that memory never waits for threads to meet.
// A plain C interface without torch's headers: compile.py compiles it, native.py calls it through ctypes.

#include "attend.hpp"
#include "math.hpp"
#include "pool.hpp"
#include "window.hpp"

namespace {

// A row looks back on blocks of so many positions, each by itself, whatever else is going on: threads share them out evenly,
// and what a row finds never depends on how many rows or threads there are.
const int BLOCK = 64;

struct Block { int row, index, count; };

// The rows' state during a step, shared by all threads: each writes its own columns and meets the others before reading theirs.
struct State {
    Room<float> x, qkv, made, wide, found;
    std::vector<Block> blocks;  // by rows
    std::vector<int> firsts;    // each row's first block, and the end
    State(const float *from, int n_rows, int C, int H, const int64_t *positions)
        : x(from, from + size_t(n_rows) * C), qkv(size_t(n_rows) * 3 * C), made(size_t(n_rows) * C), wide(size_t(n_rows) * 4 * C) {
        for (int r = 0; r < n_rows; r++) {
            firsts.push_back(int(blocks.size()));
            for (int at = 0; at <= positions[r]; at += BLOCK) blocks.push_back({r, at / BLOCK, std::min(BLOCK, int(positions[r]) + 1 - at)});
        }
        firsts.push_back(int(blocks.size()));
        found.resize(blocks.size() * stride(C, H));
    }
    // What a block finds: sums (C), largest scores (H), sums of exponentials (H).
    static int64_t stride(int C, int H) { return (C + 2 * H + 15) / 16 * 16; }
};

// What one thread does in a step.
template <typename K>
class Worker {
    typedef typename K::Cached Cached;

  public:
    Worker(Pool &pool, const Model &m, int n_rows, const int64_t *positions, State &s, int thread)
        : pool(pool), m(m), n_rows(n_rows), positions(positions), s(s), C(m.width), H(m.n_head), D(C / H),
          blocks(share(int(s.blocks.size()), 1, thread, pool.n)), narrow(share(C, 16, thread, pool.n)), wide(share(4 * C, 16, thread, pool.n)),
          normed(C), worths(n_rows), scores(size_t(H) * BLOCK), acts(size_t(n_rows) * 4 * C) {}

    void run() {
        for (int layer = 0; layer < m.n_layer; layer++) {
            const Layer &l = m.layers[layer];
            pack_normed(l.norm1_weight, l.norm1_bias);
            for (int part = 0; part < 3; part++)
                times(l.qkv, C, {part * C + narrow.first, part * C + narrow.last}, s.qkv, 3 * C,
                      part < 2 ? row_of(l.qkv, C, (part + 1) * C + narrow.first) : block_of(m.keys, layer, blocks.first));
            store(layer);
            pool.meet();
            for (int b = blocks.first; b < blocks.last; b++) look_back(layer, b, b + 1 < blocks.last ? block_of(m.keys, layer, b + 1) : row_of(l.project, C, narrow.first));
            pool.meet();
            pack_gathered();
            times(l.project, C, narrow, s.wide, 4 * C, row_of(l.widen, C, wide.first));
            add(s.wide, 4 * C);
            pool.meet();
            pack_normed(l.norm2_weight, l.norm2_bias);
            times(l.widen, C, wide, s.wide, 4 * C, row_of(l.narrow, 4 * C, narrow.first));
            for (int r = 0; r < n_rows; r++)
                for (int o = wide.first; o < wide.last; o++) s.wide[size_t(r) * 4 * C + o] = gelu(s.wide[size_t(r) * 4 * C + o]);
            pool.meet();
            pack_rows(s.wide, 4 * C);
            times(l.narrow, 4 * C, narrow, s.made, C, row_of((&l)[layer + 1 < m.n_layer].qkv, C, narrow.first));
            add(s.made, C);
            pool.meet();
        }
    }

  private:
    // Where an output's weights begin, and where a block's keys or values do.
    static const void *row_of(const Linear &linear, int n, int output) {
        return static_cast<const typename K::Weight *>(linear.weight) + int64_t(output) * n;
    }
    const Cached *block_of(const void *cached, int layer, int b) const {
        const Block &block = s.blocks[std::min(b, int(s.blocks.size()) - 1)];
        return static_cast<const Cached *>(cached) + layer * m.layer_stride + block.row * m.row_stride + int64_t(block.index) * BLOCK * C;
    }
    void pack_rows(const Room<float> &from, int n) {
        for (int r = 0; r < n_rows; r++) pack<K>(from.data() + size_t(r) * n, n, r, n_rows, acts.data(), worths.data());
    }
    void pack_normed(const float *weight, const float *bias) {
        for (int r = 0; r < n_rows; r++) {
            layer_norm(s.x.data() + size_t(r) * C, weight, bias, normed.data(), C);
            pack<K>(normed.data(), C, r, n_rows, acts.data(), worths.data());
        }
    }
    void times(const Linear &linear, int n, Range outputs, Room<float> &out, int64_t stride, const void *next) {
        multiply<K>(linear, acts.data(), worths.data(), n_rows, n, outputs.first, outputs.last, out.data(), stride, next);
    }
    void add(const Room<float> &from, int64_t stride) {
        for (int r = 0; r < n_rows; r++)
            for (int o = narrow.first; o < narrow.last; o++) s.x[size_t(r) * C + o] += from[r * stride + o];
    }
    // Store this thread's part of every row's new key and value.
    void store(int layer) {
        for (int r = 0; r < n_rows; r++) {
            const int64_t here = layer * m.layer_stride + r * m.row_stride + positions[r] * C;
            const float *made = s.qkv.data() + size_t(r) * 3 * C;
            for (int o = narrow.first; o < narrow.last; o++) {
                K::write(static_cast<Cached *>(m.keys) + here + o, made[C + o]);
                K::write(static_cast<Cached *>(m.values) + here + o, made[2 * C + o]);
            }
        }
    }
    // Find what one block of positions says to its row.
    void look_back(int layer, int b, const void *next) {
        const Block &block = s.blocks[b];
        const Cached *keys = block_of(m.keys, layer, b), *values = block_of(m.values, layer, b);
        const float *q = s.qkv.data() + size_t(block.row) * 3 * C;
        if (b == blocks.first || block.index == 0)
            for (int i = 0; i < C; i += 32) K::arrange(q + i, normed.data() + i);
        float *sums = s.found.data() + b * State::stride(C, H), *most = sums + C, *total = most + H;
        const auto run = D == 64 ? attend<K, 64> : attend<K, 32>;
        run(normed.data(), keys, values, H, block.count, most, total, sums, scores.data(), next);
    }
    void pack_gathered() {
        for (int r = 0; r < n_rows; r++) {
            const float *sums = s.found.data() + s.firsts[r] * State::stride(C, H), *most = sums + C, *total = most + H;
            const auto join = D == 64 ? join_blocks<K, 64> : join_blocks<K, 32>;
            join(most, total, sums, s.firsts[r + 1] - s.firsts[r], State::stride(C, H), H, normed.data());
            pack<K>(normed.data(), C, r, n_rows, acts.data(), worths.data());
        }
    }

    Pool &pool;
    const Model &m;
    const int n_rows;
    const int64_t *positions;
    State &s;
    const int C, H, D;
    const Range blocks, narrow, wide;
    Room<float> normed, worths, scores;
    Room<typename K::Act> acts;
};

template <typename K>
void step(Pool &pool, const Model &m, int n_rows, const float *x, const int64_t *positions, float *hidden) {
    State state(x, n_rows, m.width, m.n_head, positions);
    pool.run([&](int thread) { Worker<K>(pool, m, n_rows, positions, state, thread).run(); });
    for (int r = 0; r < n_rows; r++)
        layer_norm(state.x.data() + size_t(r) * m.width, m.norm_weight, m.norm_bias, hidden + size_t(r) * m.width, m.width);
}

template <typename K>
void product(Pool &pool, const Linear &linear, int n_rows, int n, int count, const float *x, float *out) {
    Room<typename K::Act> acts(size_t(n_rows) * n);
    Room<float> worths(n_rows);
    for (int r = 0; r < n_rows; r++) pack<K>(x + size_t(r) * n, n, r, n_rows, acts.data(), worths.data());
    pool.run([&](int thread) {
        const Range mine = share(count, 1, thread, pool.n);
        multiply<K>(linear, acts.data(), worths.data(), n_rows, n, mine.first, mine.last, out, count, linear.weight);
    });
}

}  // namespace

extern "C" {

void *pool_make(int n_threads) { return new Pool(n_threads); }

void pool_free(void *pool) { delete static_cast<Pool *>(pool); }

// Feed x (rows, width) at `positions` (rows,): store keys and values there, give the normed hidden states (rows, width).
void decode_step(void *pool, const Model *model, int n_rows, const float *x, const int64_t *positions, float *hidden) {
    const auto run = model->kind == 0 ? step<Fp32> : model->kind == 1 ? step<Bf16> : step<Int8>;
    run(*static_cast<Pool *>(pool), *model, n_rows, x, positions, hidden);
}

// Multiply x (rows, n) by `count` rows of weights: out (rows, count).
void multiply_rows(void *pool, int32_t kind, const Linear *linear, int n_rows, int n, int count, const float *x, float *out) {
    const auto run = kind == 0 ? product<Fp32> : kind == 1 ? product<Bf16> : product<Int8>;
    run(*static_cast<Pool *>(pool), *linear, n_rows, n, count, x, out);
}

// Feed x (T, width) at positions start … start + T − 1 of one row: store keys and values there, give the normed hidden states of
// those from the first-th on, (T − first, width). Each sees what is before it, or all (`causal` false). `whole`: 8-bit
// weights meet activations of 8 bits, not 16. False where this processor has not the instructions, and torch does as well.
bool run_window(void *pool, const Model *model, bool whole, int T, int start, int row, bool causal, int first, const float *x, float *hidden) {
    void (*run)(Pool &, const Model &, int, int, int, bool, int, const float *, float *) = nullptr;
#if defined(TILES_OF_SINGLES)
    if (model->kind == 0) run = window_run<InSingles>;
#endif
#if defined(TILES_OF_HALVES)
    if (model->kind == 1) run = window_run<InHalves>;
    if (model->kind == 2) run = whole ? window_run<InQuarters> : window_run<InHalvesOf8>;
#endif
    if (run) run(*static_cast<Pool *>(pool), *model, T, start, row, causal, first, x, hidden);
    return run != nullptr;
}
}
