// Products of whole matrices on tiles: the gradient of a weight, and the orthogonal factor that Muon asks for.
//
// trunk.py, cross.py and training/muon.py call them and have the formulas. Sums are held in the second cache while k
// goes by in slices; a slice of the right factor is packed once, one of a left factor that lies turned for every round.
#include "tiles.h"

#ifdef TILES
#include <sys/syscall.h>
#include <unistd.h>

static thread_local Room packed_room, left_room, sums_room, steps_room;
static const num ONCE = 2304, LONG = 512, TURNED = 256, WIDE = 512, HELD = 196608;  // k at once, a slice, columns, sums

struct Factor { const half* at; num ld; bool turned; };

template <typename C>
struct Target { C* at; num ld; const half* old; float scale, keep; bool mirror; };  // at = scale a b + keep old

template <typename C>
static void multiply(num m, num n, num k, Factor a, Factor b, Target<C> c) {
    const num slice = a.turned ? TURNED : k <= ONCE ? ONCE : LONG;
    const bool once = k <= slice, direct = !a.turned && !(k & 31) && !(m & 31) && (a.ld & 2047);
    for (num j0 = 0; j0 < n; j0 += WIDE) {
        const num count = least(WIDE, n - j0), width = up32(count), many = least(up32(m), HELD / width / 32 * 32);
        half* packed = packed_room.get<half>(width * up32(k)); half* own = left_room.get<half>((a.turned ? many : 32) * slice);
        float* sums = sums_room.get<float>(once ? 2048 : many * width);
        Late<C> late = {}; num flip = 0;
        for (num i0 = 0; i0 < m; i0 += many) for (num k0 = 0; k0 < k; k0 += slice) {
            const num i1 = least(m, i0 + many), deep = least(slice, k - k0), steps = up32(deep) / 32;
            half* right = packed + k0 * width;
            if (!i0) panels(b.turned ? b.at + j0 * b.ld + k0 : b.at + k0 * b.ld + j0, b.ld, b.turned, count, deep, true, right);
            if (a.turned) panels(a.at + k0 * a.ld + i0, a.ld, false, i1 - i0, deep, false, own);
            for (num i = i0; i < i1; i += 32) {
                const half* left = a.turned ? own + (i - i0) * 32 * steps : own;
                if (direct) left = a.at + i * a.ld + k0;
                else if (!a.turned) along(a.at + i * a.ld + k0, a.ld, m - i, deep, false, own);
                for (num j = 0; j < count; j += 32) {
                    if (c.mirror && j0 + j + 32 <= i) continue;
                    float* sum = once ? sums + 1024 * (flip ^= 1) : sums + (i - i0) * width + j; const num wide = once ? 32 : width;
                    block(steps, left, direct ? a.ld : 32, direct ? 32 : 1024, right + j * 32 * steps, sum, wide, k0 > 0, late);
                    if (k0 + deep < k) continue;
                    const num at = i * c.ld + j0 + j;
                    late = {sum, wide, least(32, m - i), least(32, count - j), c.at + at, c.ld, c.old ? c.old + at : nullptr,
                            c.mirror && j0 + j > i ? c.at + (j0 + j) * c.ld + i : nullptr, c.scale, c.keep, 0};
                }
            }
            if (k0 + deep == k) late.all();
        }
    }
}

// to = x over its norm, x [rows cols]; turned where it is taller than wide
static void begin(num rows, num cols, const half* x, float norm, half* to, num ld) {
    alignas(64) half part[32 * 32];
    for (num i = 0; i < rows; i += 32) for (num j = 0; j < cols; j += 32) {
        const num r = least(32, rows - i), c = least(32, cols - j); const bool tall = rows > cols;
        half* at = tall ? part : to + i * ld + j; const num far = tall ? 32 : ld;
        for (num y = 0; y < r; y++) for (num z = 0; z < c; z++) at[y * far + z] = down(up(x[(i + y) * cols + j + z]) / norm);
        if (tall) Late<half>::turn(part, r, c, 32, to + j * ld + i, ld);
    }
}

extern "C" {

num tiles() { return !syscall(SYS_arch_prctl, 0x1023, 18); }  // asks for the tiles of this process

// out [m n] = dy^T x over k positions
void weigh(num m, num n, num k, const half* dy, const half* x, float* out) {
    open_tiles();
    multiply<float>(m, n, k, {dy, m, true}, {x, n, false}, {out, n, nullptr, 1.0f, 0.0f, false});
    _tile_release();
}

// u [rows cols] <- its orthogonal factor, by steps of x <- a x + (b x x^T + c (x x^T)^2) x
void orthogonal(num rows, num cols, half* u, float norm, float a, float b, float c, num steps) {
    const num m = least(rows, cols), n = rows + cols - m, ld = up32(n) + 32, small = up32(m) + 32;
    half* x = steps_room.get<half>(2 * m * (ld + small)); half* y = x + m * ld; half* gram = y + m * ld; half* odd = gram + m * small;
    begin(rows, cols, u, norm, x, ld);
    open_tiles();
    for (num step = 0; step < steps; step++) {
        multiply<half>(m, m, n, {x, ld, false}, {x, ld, true}, {gram, small, nullptr, 1.0f, 0.0f, true});
        multiply<half>(m, m, m, {gram, small, false}, {gram, small, false}, {odd, small, gram, c, b, true});
        multiply<half>(m, n, m, {odd, small, false}, {x, ld, false}, {y, ld, x, 1.0f, a, false});
        half* z = x; x = y; y = z;
    }
    _tile_release();
    if (rows > cols) for (num i = 0; i < m; i += 32) for (num j = 0; j < n; j += 32)
        Late<half>::turn(x + i * ld + j, least(32, m - i), least(32, n - j), ld, u + j * cols + i, cols);
    else for (num i = 0; i < m; i++) memcpy(u + i * n, x + i * ld, 2 * n);
}
}
#else
extern "C" num tiles() { return 0; }
#endif
