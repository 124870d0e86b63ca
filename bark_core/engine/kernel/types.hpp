// What the kernel is given: a model's weights and cache by address, as native.py lays them out.

#pragma once

#include <cstdint>
#include <new>
#include <vector>

struct Linear {
    const void *weight;  // (outputs, inputs)
    const float *scale;  // (outputs,) with 8-bit weights, else null
    const float *bias;   // (outputs,) or null
};
struct Layer {
    const float *norm1_weight, *norm1_bias, *norm2_weight, *norm2_bias;
    Linear qkv, attn_out, mlp_up, mlp_down;
};
struct Model {
    int32_t kind;  // 0: fp32, 1: bf16, 2: 8-bit weights; keys and values are fp32 with 0 and bf16 with 1 and 2
    int32_t n_layer, n_head, width;
    const float *norm_weight, *norm_bias;
    const Layer *layers;
    void *keys, *values;  // (layers, slots, positions, width)
    int64_t layer_stride, row_stride;
};

// A std::vector aligned to a cache line (64 bytes), so that no vector load crosses two.
template <typename T> struct AlignedAllocator {
    typedef T value_type;
    AlignedAllocator() = default;
    template <typename U> AlignedAllocator(const AlignedAllocator<U> &) {}
    T *allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t(64))); }
    void deallocate(T *p, size_t) { ::operator delete(p, std::align_val_t(64)); }
    bool operator==(const AlignedAllocator &) const { return true; }
};
template <typename T> using AlignedVector = std::vector<T, AlignedAllocator<T>>;
