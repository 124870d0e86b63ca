// Runs the kernel's three functions on what a file holds, and writes what they give: for processors that are only emulated.
//
// In: 12 int32 (kind, layers, heads, width, rows, positions, prompt length, steps, int8 activations, causal, head outputs, first
// position wanted), then the tensors of each layer, the last norm, the head, the prompt and the steps, one after another.
// Out: whether the window ran, the window's hidden states, those of each step, and the last step's logits, all float32.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel.cpp"

namespace {

std::vector<char> content;
size_t at = 0;

// The next n bytes, at an address that any type may lie at.
template <typename T> T *take(size_t n) {
    char *to = static_cast<char *>(std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64));
    std::memcpy(to, content.data() + at, n * sizeof(T));
    at += n * sizeof(T);
    return reinterpret_cast<T *>(to);
}

void *take_weight(int kind, size_t n) {
    return kind == 0 ? static_cast<void *>(take<float>(n)) : kind == 1 ? static_cast<void *>(take<uint16_t>(n)) : take<int8_t>(n);
}

Linear take_linear(int kind, size_t outputs, size_t inputs) {
    const void *weight = take_weight(kind, outputs * inputs);
    const float *scale = kind == 2 ? take<float>(outputs) : nullptr;
    return {weight, scale, take<float>(outputs)};
}

void write(FILE *to, const std::vector<float> &values) { std::fwrite(values.data(), sizeof(float), values.size(), to); }

}  // namespace

int main(int, char **argv) {
    FILE *in = std::fopen(argv[1], "rb"), *out = std::fopen(argv[2], "wb");
    std::fseek(in, 0, SEEK_END);
    content.resize(std::ftell(in));
    std::rewind(in);
    if (std::fread(content.data(), 1, content.size(), in) != content.size()) return 1;
    const int32_t *sizes = take<int32_t>(12);
    const int kind = sizes[0], L = sizes[1], H = sizes[2], C = sizes[3], rows = sizes[4], positions = sizes[5], T = sizes[6], steps = sizes[7];
    const int count = sizes[10], first = sizes[11];
    std::vector<Layer> layers(L);
    for (Layer &l : layers) {
        l.norm1_weight = take<float>(C), l.norm1_bias = take<float>(C), l.norm2_weight = take<float>(C), l.norm2_bias = take<float>(C);
        l.qkv = take_linear(kind, 3 * C, C), l.attn_out = take_linear(kind, C, C);
        l.mlp_up = take_linear(kind, 4 * C, C), l.mlp_down = take_linear(kind, C, 4 * C);
    }
    const float *norm_weight = take<float>(C), *norm_bias = take<float>(C);
    const int head_kind = kind == 0 ? 0 : 1;
    const Linear head{take_weight(head_kind, size_t(count) * C), nullptr, nullptr};
    const float *prompt = take<float>(size_t(T) * C), *embedded = take<float>(size_t(steps) * rows * C);
    const size_t cached = size_t(L) * rows * positions * C * (kind == 0 ? 4 : 2);
    std::vector<uint64_t> keys(cached / 8 + 1), values(cached / 8 + 1);
    const Model model{kind, L, H, C, norm_weight, norm_bias, layers.data(), keys.data(), values.data(), int64_t(rows) * positions * C, int64_t(positions) * C};

    void *pool = pool_make(2);
    std::vector<float> hidden(size_t(T - first) * C), stepped(size_t(rows) * C), logits(size_t(rows) * count);
    bool ran = true;
    for (int row = 0; row < rows; row++) ran = run_window(pool, &model, sizes[8], T, 0, row, sizes[9], first, prompt, hidden.data()) && ran;
    write(out, {float(ran)});
    write(out, hidden);
    for (int step = 0; step < steps; step++) {
        const std::vector<int64_t> where(rows, T + step);
        std::vector<int32_t> slots(rows);
        std::iota(slots.begin(), slots.end(), 0);
        decode_step(pool, &model, rows, embedded + size_t(step) * rows * C, slots.data(), where.data(), stepped.data());
        write(out, stepped);
    }
    multiply_rows(pool, head_kind, &head, rows, C, count, stepped.data(), logits.data());
    write(out, logits);
    pool_free(pool);
    std::puts(kernel_level());
    return std::fclose(out);
}
