// The kernel's C interface, without torch's headers: compile.py compiles it, native.py calls it through ctypes.

#include "decode.hpp"
#include "window.hpp"

namespace {

template <typename K>
void multiply(ThreadPool &pool, const Linear &linear, int n_rows, int n, int count, const float *x, float *out) {
    AlignedVector<typename K::Act> acts(size_t(n_rows) * n);
    AlignedVector<float> act_scales(n_rows);
    for (int r = 0; r < n_rows; r++) pack_activations<K>(x + size_t(r) * n, n, r, n_rows, acts.data(), act_scales.data());
    pool.run([&](int thread) {
        const Range columns = split_range(count, 1, thread, pool.n);
        skinny_gemm<K>(linear, acts.data(), act_scales.data(), n_rows, n, columns.first, columns.last, out, count, {linear.weight});
    });
}

typedef void RunWindow(ThreadPool &, const Model &, int, int, int, bool, int, const float *, float *);

// The window of a model's kind, or null where there is none: where torch's products are ahead, with AMX in bf16.
RunWindow *find_window(int32_t kind, [[maybe_unused]] bool int8_acts) {
    if (kind == 0) return run_window<WindowPrecision<float, float, Fp32Product, Fp32Product>>;
#if defined(__AMX_BF16__)
    return nullptr;
#else
    if (kind == 1) return run_window<WindowPrecision<uint16_t, uint16_t, NarrowProduct, NarrowProduct>>;
    if (!int8_acts) return run_window<WindowPrecision<int8_t, uint16_t, Int8WeightProduct, NarrowProduct>>;
#if defined(HAS_INT8_DOT)
    return run_window<WindowPrecision<int8_t, uint16_t, Int8Product, NarrowProduct>>;
#else
    return nullptr;
#endif
#endif
}

}  // namespace

extern "C" {

// The instructions that the kernel was compiled for, in words.
const char *kernel_level() { return LEVEL_NAME; }

void *pool_make(int n_threads) { return new ThreadPool(n_threads); }

void pool_free(void *pool) { delete static_cast<ThreadPool *>(pool); }

// Feed x (rows, width) at `positions` (rows,) of the cache's `slots` (rows,): store keys and values there, give the normed hidden
// states (rows, width). Rows of one slot are at different positions, and each attends to those of the others before its own.
void decode_step(void *pool, const Model *model, int n_rows, const float *x, const int32_t *slots, const int64_t *positions, float *hidden) {
    const auto run = model->kind == 0 ? step<Fp32> : model->kind == 1 ? step<Bf16> : step<Int8>;
    run(*static_cast<ThreadPool *>(pool), *model, n_rows, x, slots, positions, hidden);
}

// Multiply x (rows, n) by `count` rows of weights: out (rows, count).
void multiply_rows(void *pool, int32_t kind, const Linear *linear, int n_rows, int n, int count, const float *x, float *out) {
    const auto run = kind == 0 ? multiply<Fp32> : kind == 1 ? multiply<Bf16> : multiply<Int8>;
    run(*static_cast<ThreadPool *>(pool), *linear, n_rows, n, count, x, out);
}

// Feed x (T, width) at positions start … start + T − 1 of one row: store keys and values there, give the normed hidden states of
// those from the first-th on, (T − first, width). `causal`: a position attends to those up to itself, else to all. `int8_acts`:
// 8-bit weights × 8-bit activations instead of 16-bit ones. Returns false where the kernel has no such window.
bool run_window(void *pool, const Model *model, bool int8_acts, int T, int start, int row, bool causal, int first, const float *x, float *hidden) {
    RunWindow *const run = find_window(model->kind, int8_acts);
    if (run) run(*static_cast<ThreadPool *>(pool), *model, T, start, row, causal, first, x, hidden);
    return run != nullptr;
}
}
