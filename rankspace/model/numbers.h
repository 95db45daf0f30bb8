// Numbers of the passes: bfloat16 and float32, sums by lanes.
#pragma once
#include <cstdint>
#include <cstring>
#include <cmath>

typedef uint16_t half;  // bfloat16
typedef int64_t num;

static inline float up(half u) { uint32_t v = (uint32_t)u << 16; float r; memcpy(&r, &v, 4); return r; }
static inline half down(float x) {
    uint32_t v; memcpy(&v, &x, 4);
    return (half)((v + 0x7fff + ((v >> 16) & 1)) >> 16);
}
static inline float wide(half u) { return up(u); }
static inline float wide(float u) { return u; }
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float t = x * 1.44269504f, n = __builtin_rintf(t), f = t - n;
    float p = 1.0f + f * (0.69314718f + f * (0.24022651f + f * (0.05550411f + f * (0.00961813f + f * 0.00133336f))));
    int32_t i = ((int32_t)n + 127) << 23;
    float s; memcpy(&s, &i, 4);
    return p * s;
}

static const num LANES = 16;

// x = l + scale bias, and the largest of it
template <typename T>
static inline float largest(num n, const half* l, const T* bias, float scale, float* x) {
    float most[LANES], all = -1e30f;
    for (num j = 0; j < LANES; j++) most[j] = -1e30f;
    num i = 0;
    for (; i + LANES <= n; i += LANES)
        for (num j = 0; j < LANES; j++) {
            float v = up(l[i + j]) + scale * wide(bias[i + j]);
            x[i + j] = v; most[j] = v > most[j] ? v : most[j];
        }
    for (; i < n; i++) { float v = up(l[i]) + scale * wide(bias[i]); x[i] = v; all = v > all ? v : all; }
    for (num j = 0; j < LANES; j++) all = most[j] > all ? most[j] : all;
    return all;
}
