// Heads: queries and keys normed, turned and laid head by head, and the way back.
//
// trunk.py has the formulas. The heads of our presets, of 64 or 128 of which a half or all turns, stay in registers;
// buffers hold any other of at most 1024.
//
// Shapes: B rows, T context, H heads, K head width, P pairs that turn.
#include "numbers.h"

static inline void turn(num p, num k, const float* c, const float* s, float sign, const float* x, float* y) {
    for (num j = 0; j < p; j++) { y[j] = x[j] * c[j] - sign * x[j + p] * s[j]; y[j + p] = sign * x[j] * s[j] + x[j + p] * c[j]; }
    for (num j = 2 * p; j < k; j++) y[j] = x[j];
}

static void any_forth(num k, num p, const half* in, const float* c, const float* s, float z, half* out, float* r) {
    float x[1024], y[1024], sum = 0, sq = 0;
    for (num j = 0; j < k; j++) { x[j] = up(in[j]); sum += x[j]; }
    const float mean = sum / k;
    for (num j = 0; j < k; j++) { x[j] -= mean; sq += x[j] * x[j]; }
    const float inv = 1.0f / sqrtf(sq / k + 1e-5f);
    *r = inv;
    for (num j = 0; j < k; j++) x[j] *= inv * z;
    turn(p, k, c, s, 1.0f, x, y);
    for (num j = 0; j < k; j++) out[j] = down(y[j]);
}

static float any_back(num k, num p, const half* gg, const half* yy, const float* c, const float* s, float z, float inv, half* out) {
    float g[1024], x[1024], y[1024], dot = 0, sum = 0;
    for (num j = 0; j < k; j++) { g[j] = up(gg[j]); y[j] = up(yy[j]); dot += g[j] * y[j]; }
    const float back = dot / (k * z * z);  // of the normed vector, before it is scaled
    for (num j = 0; j < k; j++) g[j] = z * (g[j] - y[j] * back);
    turn(p, k, c, s, -1.0f, g, x);
    for (num j = 0; j < k; j++) sum += x[j];
    sum /= k;
    for (num j = 0; j < k; j++) out[j] = down(inv * (x[j] - sum));
    return dot;
}

#define EACH(n) _Pragma("GCC unroll 8") for (int j = 0; j < n; j++)

// V registers of a head, of which P turn with the P after them
template <int V>
static inline float sum_of(const __m512* x) {
    __m512 all = x[0];
    _Pragma("GCC unroll 8") for (int j = 1; j < V; j++) all = _mm512_add_ps(all, x[j]);
    return _mm512_reduce_add_ps(all);
}

template <int V, int P>
static void forth(const half* in, const float* c, const float* s, float z, half* out, float* r) {
    __m512 x[V], square[V];
    EACH(V) x[j] = load16(in + 16 * j);
    const __m512 mean = _mm512_set1_ps(sum_of<V>(x) / (16 * V));
    EACH(V) { x[j] = _mm512_sub_ps(x[j], mean); square[j] = _mm512_mul_ps(x[j], x[j]); }
    *r = 1.0f / sqrtf(sum_of<V>(square) / (16 * V) + 1e-5f);
    const __m512 inv = _mm512_set1_ps(*r * z);
    EACH(V) x[j] = _mm512_mul_ps(x[j], inv);
    EACH(P) {
        const __m512 a = x[j], b = x[j + P], cos = _mm512_loadu_ps(c + 16 * j), sin = _mm512_loadu_ps(s + 16 * j);
        x[j] = _mm512_fmsub_ps(a, cos, _mm512_mul_ps(b, sin)); x[j + P] = _mm512_fmadd_ps(a, sin, _mm512_mul_ps(b, cos));
    }
    EACH(V) store16(out + 16 * j, x[j]);
}

template <int V, int P>
static float back(const half* gg, const half* yy, const float* c, const float* s, float z, float inv, half* out) {
    __m512 g[V], y[V], both[V];
    EACH(V) { g[j] = load16(gg + 16 * j); y[j] = load16(yy + 16 * j); both[j] = _mm512_mul_ps(g[j], y[j]); }
    const float dot = sum_of<V>(both);
    const __m512 along = _mm512_set1_ps(dot / (16 * V * z)), wide = _mm512_set1_ps(z);
    EACH(V) g[j] = _mm512_fmsub_ps(wide, g[j], _mm512_mul_ps(y[j], along));
    EACH(P) {
        const __m512 a = g[j], b = g[j + P], cos = _mm512_loadu_ps(c + 16 * j), sin = _mm512_loadu_ps(s + 16 * j);
        g[j] = _mm512_fmadd_ps(a, cos, _mm512_mul_ps(b, sin)); g[j + P] = _mm512_fmsub_ps(b, cos, _mm512_mul_ps(a, sin));
    }
    const __m512 mean = _mm512_set1_ps(sum_of<V>(g) / (16 * V)), grow = _mm512_set1_ps(inv);
    EACH(V) store16(out + 16 * j, _mm512_mul_ps(grow, _mm512_sub_ps(g[j], mean)));
    return dot;
}

typedef void (*Forth)(const half*, const float*, const float*, float, half*, float*);
typedef float (*Back)(const half*, const half*, const float*, const float*, float, float, half*);

template <typename F>
static F fitting(num k, num p, F wide_whole, F wide_half, F small_whole, F small_half) {
    if (k == 128) return p == 64 ? wide_whole : p == 32 ? wide_half : nullptr;
    return k != 64 ? nullptr : p == 32 ? small_whole : p == 16 ? small_half : nullptr;
}

extern "C" {

// whole [B T 3 H K] -> q, k, v [B H T K]; q and k normed and turned, q scaled
void heads(num b, num t, num h, num k, num p, const half* whole, const float* cs, const float* sn,
           const float* scale, half* q, half* key, half* v, float* r) {
    const Forth quick = fitting(k, p, forth<8, 4>, forth<8, 2>, forth<4, 2>, forth<4, 1>);
    for (num i = 0; i < b * t; i++) for (num which = 0; which < 3; which++) for (num a = 0; a < h; a++) {
        const half* in = whole + (i * 3 + which) * h * k + a * k;
        num at = (((i / t) * h + a) * t + i % t) * k;
        if (which == 2) { memcpy(v + at, in, 2 * k); continue; }
        float* inv = r + (i * 2 + which) * h + a; const float z = which ? 1.0f : scale[a];
        half* out = (which ? key : q) + at;
        if (quick) quick(in, cs + i * p, sn + i * p, z, out, inv);
        else any_forth(k, p, in, cs + i * p, sn + i * p, z, out, inv);
    }
}

void heads_back(num b, num t, num h, num k, num p, const half* gq, const half* gk, const half* gv,
                const half* q, const half* key, const float* r, const float* cs, const float* sn,
                const float* scale, half* whole, float* dscale) {
    const Back quick = fitting(k, p, back<8, 4>, back<8, 2>, back<4, 2>, back<4, 1>);
    for (num i = 0; i < b * t; i++) for (num which = 0; which < 3; which++) for (num a = 0; a < h; a++) {
        half* out = whole + (i * 3 + which) * h * k + a * k;
        num at = (((i / t) * h + a) * t + i % t) * k;
        if (which == 2) { memcpy(out, gv + at, 2 * k); continue; }
        const half* g = (which ? gk : gq) + at; const half* y = (which ? key : q) + at;
        const float inv = r[(i * 2 + which) * h + a], z = which ? 1.0f : scale[a];
        const float dot = quick ? quick(g, y, cs + i * p, sn + i * p, z, inv, out) : any_back(k, p, g, y, cs + i * p, sn + i * p, z, inv, out);
        if (!which) dscale[a] += dot / z;
    }
}
}
