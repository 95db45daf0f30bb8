// Products of whole matrices on tiles: the gradient of a weight, and the orthogonal factor that Muon asks for.
//
// trunk.py, cross.py and training/muon.py call them and have the formulas. Sums are held in the second cache while k
// goes by in slices; a slice of the right factor is packed once, one of a left factor that lies turned for every round.
#include "tiles.h"

#ifdef TILES
#include <sys/syscall.h>
#include <unistd.h>

static thread_local Room right_room, left_room, sums_room, steps_room;
static const num SLICE = 256, WIDE = 512, HELD = 196608;  // of k, of columns, sums at once

// x [m, columns], its square x x^T and a polynomial of that, all filled up to 32 with zeros
struct Square {
    num m, ld, small; half* x; half* gram; half* bent; half* packed; float* sums;
    Square(num m, num ld, num small, half* x) : m(m), ld(ld), small(small), x(x), gram(x + m * ld), bent(gram + m * small),
        packed(right_room.get<half>(m * (m > SLICE ? m : SLICE))), sums(sums_room.get<float>(m * m + 2048)) {}

    // the square += that of some columns
    void add(num from, num count) {
        Late<half> none = {};
        panels(x + from, ld, true, m, count, true, packed);
        for (num i = 0; i < m; i += 32) for (num j = i; j < m; j += 32)
            block(count / 32, x + i * ld + from, ld, 32, packed + j * count, sums + i * m + j, m, from > 0, none);
    }

    // the polynomial b g + c g^2
    void bend(float b, float c) {
        for (num i = 0; i < m; i += 32) for (num j = i; j < m; j += 32) {
            Late<half> out = {sums + i * m + j, m, 32, 32, gram + i * small + j, small, nullptr, j > i ? gram + j * small + i : nullptr, 1.0f, 0.0f, 0};
            out.all();
        }
        panels(gram, small, true, m, m, true, packed);
        Late<half> late = {}; float* two = sums + m * m; num flip = 0;
        for (num i = 0; i < m; i += 32) for (num j = i; j < m; j += 32) {
            float* sum = two + 1024 * (flip ^= 1);
            block(m / 32, gram + i * small, small, 32, packed + j * m, sum, 32, false, late);
            late = {sum, 32, 32, 32, bent + i * small + j, small, gram + i * small + j, j > i ? bent + j * small + i : nullptr, c, b, 0};
        }
        late.all();
    }

    // some columns <- a x + bent x
    void move(num from, num count, float a) {
        panels(x + from, ld, false, count, m, true, packed);
        Late<half> late = {}; float* two = sums + m * m; num flip = 0;
        for (num i = 0; i < m; i += 32) for (num j = 0; j < count; j += 32) {
            float* sum = two + 1024 * (flip ^= 1); half* at = x + i * ld + from + j;
            block(m / 32, bent + i * small, small, 32, packed + j * m, sum, 32, false, late);
            late = {sum, 32, 32, 32, at, ld, at, nullptr, 1.0f, a, 0};
        }
        late.all();
    }
};

// to = x over its norm, x [rows cols]; turned where it is taller than wide
static void begin(num rows, num cols, const half* x, float norm, half* to, num ld) {
    alignas(64) half part[32 * 32];
    for (num i = 0; i < rows; i += 32) for (num j = 0; j < cols; j += 32) {
        const num r = least(32, rows - i), c = least(32, cols - j); const bool tall = rows > cols;
        half* at = tall ? part : to + i * ld + j; const num far = tall ? 32 : ld;
        for (num y = 0; y < r; y++) {
            const half* from = x + (i + y) * cols + j;
            if (c == 32) for (num z = 0; z < 32; z += 16) store16(at + y * far + z, _mm512_div_ps(load16(from + z), _mm512_set1_ps(norm)));
            else for (num z = 0; z < c; z++) at[y * far + z] = down(up(from[z]) / norm);
        }
        if (tall) Late<half>::turn(part, r, c, 32, to + j * ld + i, ld);
    }
}

extern "C" {

num tiles() { return !syscall(SYS_arch_prctl, 0x1023, 18); }  // asks for the tiles of this process

// out [m n] = dy^T x over k positions
void weigh(num m, num n, num k, const half* dy, const half* x, float* out) {
    const num widest = least(WIDE, up32(n)), many = least(up32(m), HELD / widest / 32 * 32);
    half* right = right_room.get<half>(widest * SLICE); half* left = left_room.get<half>(many * SLICE);
    float* sums = sums_room.get<float>(many * widest);
    open_tiles();
    for (num j0 = 0; j0 < n; j0 += WIDE) for (num i0 = 0; i0 < m; i0 += many) {
        const num count = least(WIDE, n - j0), width = up32(count), i1 = least(m, i0 + many);
        Late<float> late = {};
        for (num k0 = 0; k0 < k; k0 += SLICE) {
            const num deep = least(SLICE, k - k0), steps = up32(deep) / 32;
            panels(x + k0 * n + j0, n, false, count, deep, true, right);
            panels(dy + k0 * m + i0, m, false, i1 - i0, deep, false, left);
            for (num i = i0; i < i1; i += 32) for (num j = 0; j < count; j += 32) {
                float* sum = sums + (i - i0) * width + j;
                block(steps, left + (i - i0) * 32 * steps, 32, 1024, right + j * 32 * steps, sum, width, k0 > 0, late);
                if (k0 + deep < k) continue;
                late = {sum, width, least(32, m - i), least(32, count - j), out + i * n + j0 + j, n, nullptr, nullptr, 1.0f, 0.0f, 0};
            }
        }
        late.all();
    }
    _tile_release();
}

// u [rows cols] <- its orthogonal factor, by steps of x <- a x + (b x x^T + c (x x^T)^2) x, some columns at a time
void orthogonal(num rows, num cols, half* u, float norm, float a, float b, float c, num steps) {
    const num m = least(rows, cols), n = rows + cols - m, tall = up32(m), ld = up32(n) + 32, small = tall + 32;
    Square of = {tall, ld, small, steps_room.get<half>(tall * (ld + 2 * small))};
    memset(of.x, 0, 2 * tall * ld);
    begin(rows, cols, u, norm, of.x, ld);
    open_tiles();
    for (num step = 0; step <= steps; step++) {
        for (num j = 0; j < up32(n); j += SLICE) {
            const num count = least(SLICE, up32(n) - j);
            if (step) of.move(j, count, a);
            if (step < steps) of.add(j, count);
        }
        if (step < steps) of.bend(b, c);
    }
    _tile_release();
    if (rows > cols) for (num i = 0; i < m; i += 32) for (num j = 0; j < n; j += 32)
        Late<half>::turn(of.x + i * ld + j, least(32, m - i), least(32, n - j), ld, u + j * cols + i, cols);
    else for (num i = 0; i < m; i++) memcpy(u + i * n, of.x + i * ld, 2 * n);
}
}
#else
extern "C" num tiles() { return 0; }
#endif
