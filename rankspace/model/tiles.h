// Products on the processor's matrix tiles (AMX, bfloat16), 32 x 32 sums at a time.
//
// A tile is 16 rows of 64 bytes. The left factor's tiles are 16 rows of 32 k; the right one's are 16 pairs of k by 16
// columns; a block is two tiles of each and four of sums in float32. Factors that do not lie so are packed into panels
// of 32 rows or columns, zeros where there is nothing; a left factor that does is read where it is.
//
// Shapes: left [m k] or turned [k m], right [k n] or turned [n k], out [m n]; ld is the distance of two rows.
// Source: Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008 (recalled).
#pragma once
#include "numbers.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define TILES
#include <cstdlib>

struct Room {  // scratch memory of a thread
    char* at = nullptr; num size = 0;
    template <typename T> T* get(num count) {
        num want = (count * (num)sizeof(T) + 4095) / 4096 * 4096;
        if (want > size) { free(at); at = (char*)aligned_alloc(4096, size = want); }
        return (T*)at;
    }
    ~Room() { free(at); }
};

static inline num least(num a, num b) { return a < b ? a : b; }
static inline num up32(num x) { return (x + 31) / 32 * 32; }
static inline __mmask16 first16(num have) { return have >= 16 ? 0xffff : have <= 0 ? 0 : (1u << have) - 1; }
static inline __mmask32 first32(num have) { return have >= 32 ? 0xffffffff : have <= 0 ? 0 : (1u << have) - 1; }

static inline void open_tiles() {
    struct { uint8_t palette, start, none[14]; uint16_t bytes[16]; uint8_t rows[16]; } told = {};
    told.palette = 1;
    for (num i = 0; i < 8; i++) { told.bytes[i] = 64; told.rows[i] = 16; }
    _tile_loadconfig(&told);
}

// 16 x 16 of 32 bits, turned
static inline void turn16(const __m512i* r, __m512i* o) {
    __m512i t[16], u[16];
    _Pragma("GCC unroll 16")
    for (int i = 0; i < 16; i += 2) { t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]); t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]); }
    _Pragma("GCC unroll 16")
    for (int i = 0; i < 16; i += 4) {
        u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]); u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]); u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    _Pragma("GCC unroll 16")
    for (int i = 0; i < 4; i++) {
        __m512i a = _mm512_shuffle_i32x4(u[i], u[4 + i], 0x88), b = _mm512_shuffle_i32x4(u[i], u[4 + i], 0xdd);
        __m512i c = _mm512_shuffle_i32x4(u[8 + i], u[12 + i], 0x88), d = _mm512_shuffle_i32x4(u[8 + i], u[12 + i], 0xdd);
        o[i] = _mm512_shuffle_i32x4(a, c, 0x88); o[8 + i] = _mm512_shuffle_i32x4(a, c, 0xdd);
        o[4 + i] = _mm512_shuffle_i32x4(b, d, 0x88); o[12 + i] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
}

static inline void put16(half* to, const __m512i* x) {
    _Pragma("GCC unroll 16")
    for (int i = 0; i < 16; i++) _mm512_store_si512(to + 32 * i, x[i]);
}

// A panel of x [32 rows][deep]: two tiles every 32 of k
static inline void along(const half* x, num ld, num rows, num deep, bool pairs, half* to) {
    __m512i a[16], b[16];
    for (num k = 0; k < deep; k += 32, to += 1024) for (num s = 0; s < 32; s += 16) {
        const half* at = x + s * ld + k;
        if (rows >= 32 && deep - k >= 32) {
            _Pragma("GCC unroll 16")
            for (num i = 0; i < 16; i++) a[i] = _mm512_loadu_si512(at + i * ld);
        } else for (num i = 0; i < 16; i++) a[i] = s + i < rows ? _mm512_maskz_loadu_epi16(first32(deep - k), at + i * ld) : _mm512_setzero_si512();
        if (!pairs) { put16(to + 32 * s, a); continue; }
        turn16(a, b); put16(to + 32 * s, b);
    }
}

// A panel of x [deep][32 columns]
static inline void across(const half* x, num ld, num cols, num deep, bool pairs, half* to) {
    const __m512i even = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(16));
    __m512i a[16], b[16], c[16];
    for (num k = 0; k < deep; k += 32, to += 1024, x += 32 * ld) {
        if (deep - k >= 32 && cols >= 32) {
            _Pragma("GCC unroll 16")
            for (num i = 0; i < 16; i++) {
                __m512i one = _mm512_loadu_si512(x + 2 * i * ld), two = _mm512_loadu_si512(x + (2 * i + 1) * ld);
                a[i] = _mm512_permutex2var_epi16(one, even, two); b[i] = _mm512_permutex2var_epi16(one, odd, two);
            }
        } else for (num i = 0; i < 16; i++) {
            const __mmask32 m = first32(cols); num row = k + 2 * i; const half* at = x + 2 * i * ld;
            __m512i one = row < deep ? _mm512_maskz_loadu_epi16(m, at) : _mm512_setzero_si512();
            __m512i two = row + 1 < deep ? _mm512_maskz_loadu_epi16(m, at + ld) : _mm512_setzero_si512();
            a[i] = _mm512_permutex2var_epi16(one, even, two); b[i] = _mm512_permutex2var_epi16(one, odd, two);
        }
        if (pairs) { put16(to, a); put16(to + 512, b); continue; }
        turn16(a, c); put16(to, c); turn16(b, c); put16(to + 512, c);
    }
}

// All panels of `count` rows or columns; `lies`: x is [count][deep], else [deep][count]
static inline void panels(const half* x, num ld, bool lies, num count, num deep, bool pairs, half* to) {
    const num size = 32 * up32(deep);
    if (lies) for (num j = 0; j < count; j += 32, to += size) along(x + j * ld, ld, count - j, deep, pairs, to);
    else for (num k = 0; k < deep; k += 32) for (num j = 0; j < count; j += 32)
        across(x + k * ld + j, ld, count - j, least(32, deep - k), pairs, to + j / 32 * size + 32 * k);
}

// A row that is looked at next, on its way into the second cache
static inline void soon(const half* x, num count) {
    for (num j = 0; j < count; j += 32) _mm_prefetch(x + j, _MM_HINT_T1);
}

static inline void put32(float* to, __mmask32 m, __m512 one, __m512 two) {
    if (m == 0xffffffff && lined(to)) { send(to, one); send(to + 16, two); return; }  // a gradient: not read soon
    _mm512_mask_storeu_ps(to, (__mmask16)m, one); _mm512_mask_storeu_ps(to + 16, (__mmask16)(m >> 16), two);
}
static inline void put32(half* to, __mmask32 m, __m512 one, __m512 two) {
    if (m == 0xffffffff) _mm512_storeu_si512(to, narrowed(one, two)); else _mm512_mask_storeu_epi16(to, m, narrowed(one, two));
}

// A block of sums on its way out, row by row while the next one is summed: to = scale sum + keep old
template <typename C>
struct Late {
    const float* sum; num wide, rows, cols; C* to; num ld; const half* old; C* mirror; float scale, keep; num done;
    inline void some(num end) {
        const __mmask32 m = first32(cols); end = least(end, rows);
        for (; done < end; done++) {
            __m512 one = _mm512_loadu_ps(sum + done * wide), two = _mm512_loadu_ps(sum + done * wide + 16);
            if (old) {
                __m512i was = _mm512_maskz_loadu_epi16(m, old + done * ld); const __m512 z = _mm512_set1_ps(scale), w = _mm512_set1_ps(keep);
                one = _mm512_fmadd_ps(w, widened(_mm512_castsi512_si256(was)), _mm512_mul_ps(z, one));
                two = _mm512_fmadd_ps(w, widened(_mm512_extracti64x4_epi64(was, 1)), _mm512_mul_ps(z, two));
            }
            put32(to + done * ld, m, one, two);
        }
    }
    inline void all() {
        if (to) some(32);
        if (to && mirror) turn(to, rows, cols, ld, mirror, ld);
        to = nullptr;
    }
    static void turn(const float*, num, num, num, float*, num) {}
    static void turn(const half* x, num rows, num cols, num ld, half* to, num far) {
        __m512i a[16], b[16];
        for (num j = 0; j < cols; j += 16) for (num i = 0; i < rows; i += 16) {
            for (num r = 0; r < 16; r++)
                a[r] = i + r < rows ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first16(cols - j), x + (i + r) * ld + j)) : _mm512_setzero_si512();
            turn16(a, b);
            for (num r = 0; r < least(16, cols - j); r++) _mm256_mask_storeu_epi16(to + (j + r) * far + i, first16(rows - i), _mm512_cvtepi32_epi16(b[r]));
        }
    }
};

// sum (+)= a b over 32 k a step; a's rows `ld` apart, `step` between its tiles; b packed, and passes the nearest cache by
template <typename L>
static inline void block(num steps, const half* a, num ld, num step, const half* b, float* sum, num wide, bool more, L& late) {
    const half* low = a + 16 * ld; const num each = late.to ? (31 + steps) / steps : 0, stride = 2 * ld, across = 4 * wide;
    float* under = sum + 16 * wide;
    if (more) { _tile_loadd(0, sum, across); _tile_loadd(1, sum + 16, across); _tile_loadd(2, under, across); _tile_loadd(3, under + 16, across); }
    else { _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); }
    for (num s = 0; s < steps; s++, a += step, low += step, b += 1024) {
        _tile_loadd(4, a, stride); _tile_stream_loadd(6, b, 64); _tile_stream_loadd(7, b + 512, 64); _tile_loadd(5, low, stride);
        _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
        if (each) late.some(late.done + each);
    }
    late.all();
    _tile_stored(0, sum, across); _tile_stored(1, sum + 16, across); _tile_stored(2, under, across); _tile_stored(3, under + 16, across);
}
#endif
