// Passes over activations, each one loop over rows that stay in the nearest cache.
//
// trunk.py, cross.py and training/muon.py call them and have the formulas; native.py compiles this file. A pass reads
// bfloat16 and float32 and sums in float32. Buffers on the stack hold a row: at most 8192 symbols or
// channels, 1024 of a head, 65536 of an alphabet; the callers see to it.
//
// Shapes: N positions, D width, B rows, T context, H heads, K head width, P pairs that turn,
// F hidden, A alphabet.
#include "numbers.h"

// Drops a share of what there is, by a hash of its place: the same places whenever it is asked.
struct Thin {
    uint32_t seed, limit; float grow;
    Thin(num seed, float drop) : seed((uint32_t)seed), limit((uint32_t)(drop * 4294967295.0f)), grow(1.0f / (1.0f - drop)) {}
    inline float operator()(float x, num at) const {
        uint32_t h = (uint32_t)at * 0x9e3779b9u ^ seed;  // murmur3's finish
        h = (h ^ (h >> 16)) * 0x85ebca6bu; h = (h ^ (h >> 13)) * 0xc2b2ae35u; h ^= h >> 16;
        return h < limit ? 0.0f : x * grow;
    }
};

extern "C" {

// x' = x + thinned add;  h = w xhat;  said += voice xhat
void add_norm(num n, num d, const float* x, const half* add, num seed, float drop, float* out, const float* w,
              half* h, const float* voice, float* said, num first, float* stat) {
    const Thin thin(seed, drop);
    alignas(64) float o[8192], y[8192];
    for (num i = 0; i < n; i++) {
        const float* a = x + i * d; const half* b = add + i * d;
        float sum = 0, sq = 0;
        if (!add) for (num j = 0; j < d; j++) { float v = a[j]; o[j] = v; sum += v; }
        else if (!thin.limit) for (num j = 0; j < d; j++) { float v = a[j] + up(b[j]); o[j] = v; sum += v; }
        else for (num j = 0; j < d; j++) { float v = a[j] + thin(up(b[j]), i * d + j); o[j] = v; sum += v; }
        send(d, o, out + i * d);
        float mean = sum / d;
        for (num j = 0; j < d; j++) { float v = o[j] - mean; sq += v * v; }
        float r = 1.0f / sqrtf(sq / d + 1e-5f);
        stat[2 * i] = mean; stat[2 * i + 1] = r;
        if (w) { for (num j = 0; j < d; j++) y[j] = (o[j] - mean) * r * w[j]; send(d, y, h + i * d); }
        if (voice) {
            float* s = said + i * d;
            if (first) { for (num j = 0; j < d; j++) y[j] = (o[j] - mean) * r * voice[j]; send(d, y, s); }
            else for (num j = 0; j < d; j++) s[j] += (o[j] - mean) * r * voice[j];
        }
    }
    _mm_sfence();
}

// dx += d xhat / dx (w dh + voice dsaid);  dw, dvoice are added to;  small = thinned dx
void norm_back(num n, num d, const half* dh, const float* w, const half* dsaid, const float* voice, const float* x,
               const float* stat, float* dx, num first, num seed, float drop, half* small, float* dw, float* dvoice) {
    const Thin thin(seed, drop);
    alignas(64) float g[8192], y[8192];
    for (num i = 0; i < n; i++) {
        float mean = stat[2 * i], r = stat[2 * i + 1], one = 0, two = 0;
        const float* a = x + i * d;
        for (num j = 0; j < d; j++) { y[j] = (a[j] - mean) * r; g[j] = 0; }
        if (dh) { const half* b = dh + i * d; for (num j = 0; j < d; j++) { float v = up(b[j]); dw[j] += v * y[j]; g[j] = v * w[j]; } }
        if (dsaid) { const half* b = dsaid + i * d; for (num j = 0; j < d; j++) { float v = up(b[j]); dvoice[j] += v * y[j]; g[j] += v * voice[j]; } }
        for (num j = 0; j < d; j++) { one += g[j]; two += g[j] * y[j]; }
        one /= d; two /= d;
        float* o = dx + i * d;
        if (first) for (num j = 0; j < d; j++) g[j] = r * (g[j] - one - y[j] * two);
        else for (num j = 0; j < d; j++) g[j] = o[j] + r * (g[j] - one - y[j] * two);
        send(d, g, o);
        if (thin.limit) for (num j = 0; j < d; j++) g[j] = thin(g[j], i * d + j);
        send(d, g, small + i * d);
    }
    _mm_sfence();
}

// scores [B H T T] -> odds, in place; nothing is seen that came later
void soften(num b, num h, num t, half* s, const half* bias) {
    float x[8192];
    for (num i = 0; i < b; i++) for (num a = 0; a < h; a++) for (num row = 0; row < t; row++) {
        half* o = s + ((i * h + a) * t + row) * t; const half* m = bias + (i * t + row) * t;
        num seen = (row / LANES + 1) * LANES; seen = seen < t ? seen : t;
        float most = largest(seen, o, m, 1.0f, x), sum = 0;
        for (num j = 0; j < seen; j++) { float v = exponential(x[j] - most); x[j] = v; sum += v; }
        float inv = 1.0f / sum;
        for (num j = 0; j < seen; j++) o[j] = down(x[j] * inv);
        memset(o + seen, 0, 2 * (t - seen));
    }
}

void soften_back(num rows, num t, const half* p, const float* delta, half* dp) {
    for (num i = 0; i < rows; i++) {
        const half* a = p + i * t; half* o = dp + i * t; float d = delta[i];
        num row = i % t, seen = (row / LANES + 1) * LANES; seen = seen < t ? seen : t;
        for (num j = 0; j < seen; j++) o[j] = down(up(a[j]) * (up(o[j]) - d));
        memset(o + seen, 0, 2 * (t - seen));
    }
}

// [B H T K] -> [B T H K]
void gather(num b, num t, num h, num k, const half* y, half* out) {
    for (num i = 0; i < b * t; i++) for (num a = 0; a < h; a++)
        memcpy(out + (i * h + a) * k, y + (((i / t) * h + a) * t + i % t) * k, 2 * k);
}

// [B T H K] -> [B H T K], and <dy, y> of every head
void spread(num b, num t, num h, num k, const half* dy, const half* y, half* out, float* delta) {
    for (num i = 0; i < b * t; i++) for (num a = 0; a < h; a++) {
        num to = ((i / t) * h + a) * t + i % t; const half* g = dy + (i * h + a) * k; const half* v = y + (i * h + a) * k;
        float dot = 0;
        for (num j = 0; j < k; j++) dot += up(g[j]) * up(v[j]);
        delta[to] = dot;
        memcpy(out + to * k, g, 2 * k);
    }
}

// g sigmoid(beta g) v
void gate(num n, num f, const half* in, const float* beta, half* out) {
    for (num i = 0; i < n; i++) {
        const half* a = in + i * 2 * f; const half* v = a + f; half* o = out + i * f;
        num j = 0;
        for (; j + LANES <= f; j += LANES) {
            const __m512 x = load16(a + j), s = sigmoid16(_mm512_mul_ps(_mm512_loadu_ps(beta + j), x));
            store16(o + j, _mm512_mul_ps(_mm512_mul_ps(x, s), load16(v + j)));
        }
        for (; j < f; j++) { float x = up(a[j]); o[j] = down(x / (1.0f + exponential(-beta[j] * x)) * up(v[j])); }
    }
}

void gate_back(num n, num f, const half* in, const float* beta, const half* d, half* out, float* dbeta) {
    for (num i = 0; i < n; i++) {
        const half* a = in + i * 2 * f; const half* v = a + f; const half* g = d + i * f;
        half* o = out + i * 2 * f; half* o2 = o + f;
        num j = 0;
        for (; j + LANES <= f; j += LANES) {
            const __m512 x = load16(a + j), sharp = _mm512_loadu_ps(beta + j), s = sigmoid16(_mm512_mul_ps(sharp, x)), w = _mm512_mul_ps(x, s);
            const __m512 gg = load16(g + j), gv = _mm512_mul_ps(gg, load16(v + j)), rest = _mm512_fnmadd_ps(w, s, w);
            store16(o + j, _mm512_mul_ps(gv, _mm512_fmadd_ps(sharp, rest, s))); store16(o2 + j, _mm512_mul_ps(gg, w));
            _mm512_storeu_ps(dbeta + j, _mm512_fmadd_ps(_mm512_mul_ps(gv, x), rest, _mm512_loadu_ps(dbeta + j)));
        }
        for (; j < f; j++) {
            float x = up(a[j]), s = 1.0f / (1.0f + exponential(-beta[j] * x)), w = x * s, gg = up(g[j]);
            float gv = gg * up(v[j]), rest = w * (1.0f - s);
            o[j] = down(gv * (s + beta[j] * rest)); o2[j] = down(gg * w);
            dbeta[j] += gv * x * rest;
        }
    }
}

// logits -> their gradient, in place; nats of every row; returns the gradient of beta
void cross(num n, num a, half* logits, const float* bias, float beta, const num* target, const float* weight,
           float* nats, double* dbeta) {
    float x[65536]; double whole = 0;
    for (num i = 0; i < n; i++) {
        half* l = logits + i * a; float most = largest(a, l, bias, beta, x), sum = 0, mean = 0;
        float told = x[target[i]];
        for (num j = 0; j < a; j++) { float z = x[j], e = exponential(z - most); sum += e; mean += e * z; x[j] = e; }
        nats[i] = logf(sum) + most - told;
        float w = weight[i], inv = w / sum;
        for (num j = 0; j < a; j++) l[j] = down(x[j] * inv);
        l[target[i]] = down(x[target[i]] * inv - w);
        whole += w * (mean / sum - told);
    }
    *dbeta += whole / beta;
}

// Muon before its matrices are made orthogonal: m <- lerp(scale g, m, mu), u = lerp(scale g, m, mu); the square of u
void nudge(num n, const float* g, float* m, float scale, float mu, half* u, float* square) {
    double whole = 0;
    for (num i = 0; i < n; i += 4096) {
        float sum = 0; num end = i + 4096 < n ? i + 4096 : n;
        for (num j = i; j < end; j++) {
            float x = g[j] * scale, v = x + mu * (m[j] - x), w = x + mu * (v - x);
            m[j] = v; u[j] = down(w); sum += w * w;
        }
        whole += sum;
    }
    *square = (float)whole;
}

// and after it: w <- keep w - reach u
void settle(num n, float* w, const half* u, float keep, float reach) {
    for (num j = 0; j < n; j++) w[j] = keep * w[j] - reach * up(u[j]);
}
}
