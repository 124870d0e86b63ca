// Functions of single values, a vector at a time: exponential, GELU, layer norm, and quantisation of a row. n is a multiple of 32.

#pragma once

#include <algorithm>
#include <cmath>

#include "simd.hpp"

// e^x for x from −87 to 88 (less counts as −87) with a relative error of 2e-7: 2^n through the exponent bits, the remainder by its Taylor series.
inline VecF32 exp_fast(VecF32 x) {
    x = maximum(x, broadcast(-87.f)) * 1.44269504f;
    const VecF32 n = round_even(x), f = (x - n) * 0.69314718f;
    const VecF32 series = 1.f + f * (1.f + f * (0.5f + f * (1.f / 6 + f * (1.f / 24 + f * (1.f / 120 + f * (1.f / 720))))));
    return series * (VecF32)((__builtin_convertvector(n, VecI32) + 127) << 23);
}
inline float exp_fast(float x) { return exp_fast(broadcast(x))[0]; }

inline VecF32 absolute(VecF32 x) { return (VecF32)((VecU32)x & 0x7fffffffu); }

// The exact (erf) GELU, with erf by Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7).
inline VecF32 gelu(VecF32 x) {
    const VecF32 z = absolute(x) * 0.70710678f, t = 1.f / (1.f + 0.3275911f * z);
    const VecF32 series = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const VecF32 erf = 1.f - series * exp_fast(-z * z);
    return 0.5f * x * (1.f + (VecF32)((VecU32)erf | ((VecU32)x & 0x80000000u)));
}

inline void layer_norm(const float *x, const float *weight, const float *bias, float *out, int n) {
    VecF32 sum{}, squares{};
    for (int i = 0; i < n; i += LANES) sum += load<VecF32>(x + i);
    const float mean = reduce_add(sum) / n;
    for (int i = 0; i < n; i += LANES) {
        const VecF32 centred = load<VecF32>(x + i) - mean;
        squares = multiply_add(centred, centred, squares);
    }
    const float inverse = 1.f / std::sqrt(reduce_add(squares) / n + 1e-5f);
    for (int i = 0; i < n; i += LANES) {
        const VecF32 normed = (load<VecF32>(x + i) - mean) * inverse * load<VecF32>(weight + i);
        store(out + i, bias ? normed + load<VecF32>(bias + i) : normed);
    }
}

// Return what a row is multiplied by, so that its largest magnitude becomes `limit`.
inline float find_scale(const float *x, int n, float limit) {
    VecF32 largest = broadcast(1e-20f);
    for (int i = 0; i < n; i += LANES) largest = maximum(largest, absolute(load<VecF32>(x + i)));
    return limit / reduce_max(largest);
}

// The largest magnitude of 16-bit activations of which `n` products with 8-bit weights (at most 127) add up in 32 bits.
inline float int16_limit(int n) { return float(std::min(32767, 2147483647 / (127 * n))); }
