// Attention on tiles, head by head: what later blocks may not see is neither multiplied nor looked at.
//
// trunk.py calls them and has the formulas. A head's queries, keys and values stay in the nearest caches; its odds are
// kept for the way back, in blocks of 32 up to the diagonal: what is above holds nothing.
//
// Shapes: B rows, T context, H heads, K head width; T and K are multiples of 32. q, k, v [B H T K], odds [B H T T],
// bias [B T T], y and dy [B T H K], of which `far` = H K parts the rows.
#include "tiles.h"

#ifdef TILES

static thread_local Room packed_room, row_room, score_room, slopes_room;

// 32 rows of scores, `seen` of them looked at -> odds
static inline void odds_of(num t, num seen, float* s, const half* bias, half* odds) {
    for (num i = 0; i < 32; i++, s += t, bias += t, odds += t) {
        __m512 most = _mm512_set1_ps(-1e30f), all = _mm512_setzero_ps();
        for (num j = 0; j < seen; j += 16) {
            __m512 x = _mm512_add_ps(_mm512_loadu_ps(s + j), load16(bias + j));
            most = _mm512_max_ps(x, most); _mm512_storeu_ps(s + j, x);
        }
        const __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(most));
        for (num j = 0; j < seen; j += 16) {
            __m512 e = exponential16(_mm512_sub_ps(_mm512_loadu_ps(s + j), top));
            all = _mm512_add_ps(all, e); _mm512_storeu_ps(s + j, e);
        }
        const __m512 inv = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(all));
        for (num j = 0; j < seen; j += 32)
            _mm512_storeu_si512(odds + j, narrowed(_mm512_mul_ps(_mm512_loadu_ps(s + j), inv), _mm512_mul_ps(_mm512_loadu_ps(s + j + 16), inv)));
    }
}

// ds = p (dp - <dy, y>), 32 rows
static inline void slope_of(num t, num seen, num k, num far, const float* dp, const half* odds, const half* dy, const half* y, half* ds) {
    for (num i = 0; i < 32; i++, dp += t, odds += t, ds += t, dy += far, y += far) {
        __m512 dot = _mm512_setzero_ps();
        for (num j = 0; j < k; j += 16)
            dot = _mm512_fmadd_ps(load16(dy + j), load16(y + j), dot);
        const __m512 delta = _mm512_set1_ps(_mm512_reduce_add_ps(dot));
        for (num j = 0; j < seen; j += 32) {
            __m512i p = _mm512_loadu_si512(odds + j);
            __m512 one = _mm512_mul_ps(widened(_mm512_castsi512_si256(p)), _mm512_sub_ps(_mm512_loadu_ps(dp + j), delta));
            __m512 two = _mm512_mul_ps(widened(_mm512_extracti64x4_epi64(p, 1)), _mm512_sub_ps(_mm512_loadu_ps(dp + j + 16), delta));
            _mm512_storeu_si512(ds + j, narrowed(one, two));
        }
    }
}

// out [32 k] = a [32, 32 steps] times a packed factor whose panels lie `size` apart
static inline void write(num steps, num k, const half* a, num ld, num step, const half* right, num size, float* sums, half* out, num far) {
    Late<half> late = {};
    for (num j = 0; j < k; j += 32) {
        float* sum = sums + (j & 32) * 32;
        block(steps, a, ld, step, right + j / 32 * size, sum, 32, false, late);
        late = {sum, 32, 32, 32, out + j, far, nullptr, nullptr, 1.0f, 0.0f, 0};
    }
    late.all();
}

// One head
static void forth(num t, num k, num far, const half* q, const half* key, const half* v, const half* bias, half* odds, half* y) {
    half* keys = packed_room.get<half>(4 * t * k); half* values = keys + t * k;
    float* s = row_room.get<float>(32 * t + 2048); Late<float> none = {};
    panels(key, k, true, t, k, true, keys); panels(v, k, false, k, t, true, values);
    for (num i = 0; i < t; i += 32) {
        for (num j = 0; j <= i; j += 32) block(k / 32, q + i * k, k, 32, keys + j * k, s + j, t, false, none);
        odds_of(t, i + 32, s, bias + i * t, odds + i * t);
        write(i / 32 + 1, k, odds + i * t, t, 32, values, 32 * t, s + 32 * t, y + i * far, far);
    }
}

static void back(num t, num k, num far, const half* q, const half* key, const half* v, const half* odds, const half* y, const half* dy,
                 half* dq, half* dk, half* dv) {
    half* values = packed_room.get<half>(4 * t * k); half* keys = values + t * k; half* queries = keys + t * k; half* pulls = queries + t * k;
    half* ds = score_room.get<half>(t * t + 32 * t); half* turned = ds + t * t;
    float* dp = row_room.get<float>(32 * t + 2048); Late<float> none = {}; const num size = 32 * t;
    panels(v, k, true, t, k, true, values); panels(key, k, false, k, t, true, keys);
    panels(q, k, false, k, t, true, queries); panels(dy, far, false, k, t, true, pulls);
    for (num i = 0; i < t; i += 32) {
        for (num j = 0; j <= i; j += 32) block(k / 32, dy + i * far, far, 32, values + j * k, dp + j, t, false, none);
        if (i + 32 < t) for (num r = i + 32; r < i + 64; r++) { soon(dy + r * far, k); soon(y + r * far, k); soon(odds + r * t, i + 64); }
        slope_of(t, i + 32, k, far, dp, odds + i * t, dy + i * far, y + i * far, ds + i * t);
        write(i / 32 + 1, k, ds + i * t, t, 32, keys, size, dp + 32 * t, dq + i * k, k);
    }
    for (num j = 0; j < t; j += 32) {  // columns: what came later looked at them
        across(ds + j * t + j, t, 32, t - j, false, turned);
        write((t - j) / 32, k, turned, 32, 1024, queries + 32 * j, size, dp, dk + j * k, k);
        across(odds + j * t + j, t, 32, t - j, false, turned);
        write((t - j) / 32, k, turned, 32, 1024, pulls + 32 * j, size, dp, dv + j * k, k);
    }
}

extern "C" {

void heads(num b, num t, num h, num k, num p, const half* whole, const float* cs, const float* sn, const float* scale, half* q,
           half* key, half* v, float* r);
void heads_back(num b, num t, num h, num k, num p, const half* gq, const half* gk, const half* gv, const half* q, const half* key,
                const float* r, const float* cs, const float* sn, const float* scale, half* whole, float* dscale);

// whole [B T 3 H K] -> what is heard, y; q, k, v, their norms r and the odds are left for the way back
void attend(num b, num t, num h, num k, num p, const half* whole, const float* cs, const float* sn, const float* scale, const half* bias,
            half* q, half* key, half* v, float* r, half* odds, half* y) {
    open_tiles();
    for (num at = 0; at < b; at++) {
        const num one = h * t * k, from = at * one, turns = at * t * p;
        heads(1, t, h, k, p, whole + 3 * from, cs + turns, sn + turns, scale, q + from, key + from, v + from, r + at * t * 2 * h);
        for (num a = 0; a < h; a++) {
            const num head = from + a * t * k;
            forth(t, k, h * k, q + head, key + head, v + head, bias + at * t * t, odds + (at * h + a) * t * t, y + from + a * k);
        }
    }
    _tile_release();
}

// dy -> dwhole [B T 3 H K]
void attend_back(num b, num t, num h, num k, num p, const half* q, const half* key, const half* v, const float* r, const half* odds,
                 const half* y, const half* dy, const float* cs, const float* sn, const float* scale, half* dwhole, float* dscale) {
    open_tiles();
    for (num at = 0; at < b; at++) {
        const num one = h * t * k, from = at * one, turns = at * t * p;
        half* dq = slopes_room.get<half>(3 * one); half* dk = dq + one; half* dv = dk + one;
        for (num a = 0; a < h; a++) {
            const num in = a * t * k, head = from + in;
            back(t, k, h * k, q + head, key + head, v + head, odds + (at * h + a) * t * t, y + from + a * k, dy + from + a * k, dq + in, dk + in, dv + in);
        }
        heads_back(1, t, h, k, p, dq, dk, dv, q + from, key + from, r + at * t * 2 * h, cs + turns, sn + turns, scale, dwhole + 3 * from, dscale);
    }
    _tile_release();
}
}
#endif
