// Products of activations with a weight on tiles, and what follows them: a gate, or a gate's derivative.
//
// trunk.py calls them through native.py and has the formulas. The weight is packed once a call. 32 rows of activations stay
// in the nearest cache while the weight's panels stream past them from the second, told to leave no trace in the first;
// what follows is done to a block of sums while the next is summed, so it costs little more than its memory.
//
// Shapes: k at most 512, a [m k], w [n k] or turned [k n], out [m n]; gates [m 2f], act [m f]; f is a multiple of 32.
#include "tiles.h"

#ifdef TILES

static thread_local Room weight_room, rows_room, blocks_room;
static const num GROUP = 16;  // panels held in the second cache

// A block of sums on its way out
struct Plain {
    const float* sum; num rows, cols, ld; half* to; num done;
    inline void some(num end) {
        const __mmask32 m = first32(cols); const bool whole = m == 0xffffffff && lined(to) && ld % 32 == 0; end = least(end, rows);
        for (; done < end; done++) {
            const __m512i x = narrowed(_mm512_loadu_ps(sum + 32 * done), _mm512_loadu_ps(sum + 32 * done + 16));
            if (whole) send(to + done * ld, x); else _mm512_mask_storeu_epi16(to + done * ld, m, x);
        }
    }
    inline void all() { if (to) some(32); to = nullptr; }
};

// A gate on its way out: 32 columns of g and of v, whose sums were made one after the other
struct Gated {
    const float* g; const float* v; num rows, f; const float* beta; half* gates; half* to; num late, done;
    inline void some(num end) {
        end = least(end, least(rows, late ? 32 : 16));
        for (; done < end; done++) {
            __m512 x[2], y[2], z[2];
            for (num c = 0; c < 2; c++) {
                x[c] = _mm512_loadu_ps(g + 32 * done + 16 * c); y[c] = _mm512_loadu_ps(v + 32 * done + 16 * c);
                z[c] = _mm512_mul_ps(_mm512_mul_ps(x[c], sigmoid16(_mm512_mul_ps(_mm512_loadu_ps(beta + 16 * c), x[c]))), y[c]);
            }
            half* at = gates + 2 * done * f;
            send(at, narrowed(x[0], x[1])); send(at + f, narrowed(y[0], y[1]));
            send(to + done * f, narrowed(z[0], z[1]));
        }
    }
    inline void all() { if (to) some(32); if (late++) to = nullptr; }  // half of it during each of the next two
};

// The gradient of gates in their place: 32 columns of the gradient of what they let through
struct GatedBack {
    const float* d; num rows, f; const float* beta; float* dbeta; half* to; num done;
    inline void some(num end) {
        end = least(end, rows);
        for (; done < end; done++) {
            half* at = to + 2 * done * f;
            const __m512i gates = _mm512_loadu_si512(at), values = _mm512_loadu_si512(at + f);
            __m512 dg[2], dv[2];
            for (num c = 0; c < 2; c++) {
                const __m512 x = widened(c ? _mm512_extracti64x4_epi64(gates, 1) : _mm512_castsi512_si256(gates));
                const __m512 v = widened(c ? _mm512_extracti64x4_epi64(values, 1) : _mm512_castsi512_si256(values));
                const __m512 sharp = _mm512_loadu_ps(beta + 16 * c), s = sigmoid16(_mm512_mul_ps(sharp, x)), w = _mm512_mul_ps(x, s);
                const __m512 gg = _mm512_loadu_ps(d + 32 * done + 16 * c), gv = _mm512_mul_ps(gg, v), rest = _mm512_fnmadd_ps(w, s, w);
                dg[c] = _mm512_mul_ps(gv, _mm512_fmadd_ps(sharp, rest, s)); dv[c] = _mm512_mul_ps(gg, w);
                _mm512_storeu_ps(dbeta + 16 * c, _mm512_fmadd_ps(_mm512_mul_ps(gv, x), rest, _mm512_loadu_ps(dbeta + 16 * c)));
            }
            _mm512_storeu_si512(at, narrowed(dg[0], dg[1])); _mm512_storeu_si512(at + f, narrowed(dv[0], dv[1]));
        }
    }
    inline void all() { if (to) some(32); to = nullptr; }
};

// All blocks of a times packed panels; `next` is told of a block and sets what is late while the next is summed
template <num ROLL, typename L, typename F>
static inline void sweep(num m, num many, num k, const half* a, const half* right, L& late, F next) {
    const num steps = up32(k) / 32; float* sums = blocks_room.get<float>((ROLL + 1) * 1024); num turn = 0;
    half* left = rows_room.get<half>(1024 * steps);
    for (num p0 = 0; p0 < many; p0 += GROUP) for (num i = 0; i < m; i += 32) {
        const num p1 = least(many, p0 + GROUP), share = 31 / (p1 - p0) + 1; const bool whole = k % 32 == 0 && m - i >= 32;
        const half* at = a + i * k;
        if (!whole) along(at, k, m - i, k, false, left);
        for (num p = p0; p < p1; p++) {
            float* sum = sums + 1024 * (turn++ & ROLL); const num row = (p - p0) * share;
            for (num r = row; m - i >= 64 && r < least(row + share, 32); r++) soon(at + (32 + r) * k, k);
            block(steps, whole ? at : left, whole ? k : 32, whole ? 32 : 1024, right + p * steps * 1024, sum, 32, false, late);
            next(i, p, sum);
        }
    }
    while (late.to) late.all();
    _mm_sfence();
}

extern "C" {

// out [m n] = a w, w [n k] if it `lies`, else [k n]
void times(num m, num n, num k, const half* a, const half* w, num lies, half* out) {
    half* right = weight_room.get<half>(up32(n) * up32(k)); Plain late = {};
    open_tiles();
    panels(w, lies ? k : n, lies, n, k, true, right);
    sweep<1>(m, up32(n) / 32, k, a, right, late, [&](num i, num p, const float* sum) {
        late = {sum, least(32, m - i), least(32, n - 32 * p), n, out + i * n + 32 * p, 0};
    });
    _tile_release();
}

// gates [m 2f] = a w, w [2f k]; act = g sigmoid(beta g) v
void times_gate(num m, num f, num k, const half* a, const half* w, const float* beta, half* gates, half* act) {
    half* right = weight_room.get<half>(2 * f * up32(k)); Gated late = {}; const float* first = nullptr;
    open_tiles();
    for (num p = 0; p < f / 16; p++) along(w + (p / 2 * 32 + p % 2 * f) * k, k, 32, k, true, right + p * 32 * up32(k));
    sweep<3>(m, f / 16, k, a, right, late, [&](num i, num p, const float* sum) {
        const num j = p / 2 * 32;
        if (p % 2) late = {first, sum, least(32, m - i), f, beta + j, gates + 2 * i * f + j, act + i * f + j, 0, 0};
        else first = sum;
    });
    _tile_release();
}

// gates [m 2f] <- their gradient, from that of act = a w, w [k f]; dbeta is added to
void times_gate_back(num m, num f, num k, const half* a, const half* w, const float* beta, half* gates, float* dbeta) {
    half* right = weight_room.get<half>(f * up32(k)); GatedBack late = {};
    open_tiles();
    panels(w, f, false, f, k, true, right);
    sweep<1>(m, f / 32, k, a, right, late, [&](num i, num p, const float* sum) {
        const num far = (p + 2) % GROUP < 2 || p + 2 >= f / 32, i2 = far ? i + 32 : i, p2 = far ? p / GROUP * GROUP + (p + 2) % GROUP % 2 : p + 2;
        for (num r = i2; r < least(i2 + 32, m); r++) { soon(gates + 2 * r * f + 32 * p2, 1); soon(gates + (2 * r + 1) * f + 32 * p2, 1); }
        late = {sum, least(32, m - i), f, beta + 32 * p, dbeta + 32 * p, gates + 2 * i * f + 32 * p, 0};
    });
    _tile_release();
}
}
#endif
