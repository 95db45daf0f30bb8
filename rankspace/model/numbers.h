// Numbers of the passes: bfloat16 and float32, sums by lanes.
#pragma once
#include <cstdint>
#include <cstring>
#include <cmath>
#include <immintrin.h>
#include <initializer_list>

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

// Sixteen at once
static inline __m512 widened(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
static inline __m512 load16(const half* x) { return widened(_mm256_loadu_si256((const __m256i*)x)); }
#ifdef __AVX512BF16__
static inline void store16(half* to, __m512 x) { _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(x)); }
#else
static inline void store16(half* to, __m512 x) {
    __m512i v = _mm512_castps_si512(x), odd = _mm512_and_si512(_mm512_srli_epi32(v, 16), _mm512_set1_epi32(1));
    v = _mm512_srli_epi32(_mm512_add_epi32(v, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    _mm256_storeu_si256((__m256i*)to, _mm512_cvtepi32_epi16(v));
}
#endif
static inline __m512 exponential16(__m512 x) {  // of at most 88
    const __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), n = _mm512_roundscale_ps(t, 0), f = _mm512_sub_ps(t, n);
    __m512 p = _mm512_set1_ps(0.00133336f);
    for (float each : {0.00961813f, 0.05550411f, 0.24022651f, 0.69314718f, 1.0f}) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(each));
    return _mm512_scalef_ps(p, n);
}
static inline __m512 sigmoid16(__m512 x) {
    const __m512 d = _mm512_add_ps(_mm512_set1_ps(1.0f), exponential16(_mm512_min_ps(_mm512_sub_ps(_mm512_setzero_ps(), x), _mm512_set1_ps(88.0f))));
    const __m512 r = _mm512_rcp14_ps(d);
    return _mm512_mul_ps(r, _mm512_fnmadd_ps(d, r, _mm512_set1_ps(2.0f)));
}

// Past the caches, for what is too much to be found there when it is asked for: no line is read to be written
static inline bool lined(const void* at) { return (uintptr_t)at % 64 == 0; }
static inline void send(half* to, __m512i x) { _mm512_stream_si512((__m512i*)to, x); }
static inline void send(float* to, __m512 x) { _mm512_stream_ps(to, x); }
#ifdef __AVX512BF16__
static inline __m512i narrowed(__m512 one, __m512 two) { return (__m512i)_mm512_cvtne2ps_pbh(two, one); }
#else
static inline __m512i narrowed(__m512 one, __m512 two) {
    alignas(64) half both[32];
    store16(both, one); store16(both + 16, two);
    return _mm512_load_si512(both);
}
#endif
static inline void send(num n, const float* x, float* to) {
    if (n % 16 || !lined(to)) { memcpy(to, x, 4 * n); return; }
    for (num j = 0; j < n; j += 16) send(to + j, _mm512_loadu_ps(x + j));
}
static inline void send(num n, const float* x, half* to) {
    if (n % 32 || !lined(to)) { for (num j = 0; j < n; j++) to[j] = down(x[j]); return; }
    for (num j = 0; j < n; j += 32) send(to + j, narrowed(_mm512_loadu_ps(x + j), _mm512_loadu_ps(x + j + 16)));
}

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
