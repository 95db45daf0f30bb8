// BLAKE3's compression on vectors of LANES words, for one kind of processor; blake3.h includes this once
// for each, with LANES, TARGET (of which processors) and SHUFFLES (bytes of a vector in one instruction).
//
// `many` has a lane of its own for each node: a register holds one word of the state of all lanes. `one`
// has a single node, whose state is four rows in four registers.
typedef uint32_t V __attribute__((vector_size(4 * LANES)));
typedef int32_t Signed __attribute__((vector_size(4 * LANES)));  // signs are compared in one instruction
typedef uint8_t Bytes __attribute__((vector_size(4 * LANES)));

#define INLINE TARGET static inline __attribute__((always_inline))

INLINE V splat(uint32_t value) { return V{} + value; }
INLINE V words(const uint32_t* from) { V found; memcpy(&found, from, sizeof found); return found; }
INLINE V chosen(V mask, V yes, V no) { return (mask & yes) | (~mask & no); }

// Words turned right. GCC and Clang know the first form as one instruction where there is one.
template <int BITS, typename W> INLINE W turned(W x) { return (x >> BITS) | (x << (32 - BITS)); }

#if SHUFFLES
template <int BITS> INLINE V turned_bytes(V x) {
    const int n = BITS / 8;
#define AT(i) ((i) & ~3) + (((i) + n) & 3)
#define AT16(i) AT(i), AT(i + 1), AT(i + 2), AT(i + 3), AT(i + 4), AT(i + 5), AT(i + 6), AT(i + 7), AT(i + 8), \
    AT(i + 9), AT(i + 10), AT(i + 11), AT(i + 12), AT(i + 13), AT(i + 14), AT(i + 15)
    return (V)BLAKE3_SHUFFLE(Bytes, (Bytes)x, (Bytes)x, AT16(0), AT16(16));
#undef AT16
#undef AT
}
#else
template <int BITS> INLINE V turned_bytes(V x) { return turned<BITS>(x); }
#endif

// Rows of LANES words, turned into columns.
#if LANES == 16
INLINE void transpose(V* x) {
    __m512i a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32((__m512i)x[i], (__m512i)x[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32((__m512i)x[i], (__m512i)x[i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; i++) {
        __m512i even = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88), odd = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
        __m512i later = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
        __m512i latest = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
        x[i] = (V)_mm512_shuffle_i32x4(even, later, 0x88);
        x[i + 4] = (V)_mm512_shuffle_i32x4(odd, latest, 0x88);
        x[i + 8] = (V)_mm512_shuffle_i32x4(even, later, 0xdd);
        x[i + 12] = (V)_mm512_shuffle_i32x4(odd, latest, 0xdd);
    }
}
#elif LANES == 8
INLINE void transpose(V* x) {
    V a[8], b[8];
#pragma GCC unroll 16
    for (int i = 0; i < 8; i += 2) {
        a[i] = BLAKE3_SHUFFLE(V, x[i], x[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        a[i + 1] = BLAKE3_SHUFFLE(V, x[i], x[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 16
        for (int j = 0; j < 2; j++) {
            b[i + 2 * j] = BLAKE3_SHUFFLE(V, a[i + j], a[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            b[i + 2 * j + 1] = BLAKE3_SHUFFLE(V, a[i + j], a[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
#pragma GCC unroll 16
    for (int i = 0; i < 4; i++) {
        x[i] = BLAKE3_SHUFFLE(V, b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        x[i + 4] = BLAKE3_SHUFFLE(V, b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}
#else
INLINE void transpose(V* x) {
    V low = BLAKE3_SHUFFLE(V, x[0], x[1], 0, 4, 1, 5), high = BLAKE3_SHUFFLE(V, x[0], x[1], 2, 6, 3, 7);
    V later = BLAKE3_SHUFFLE(V, x[2], x[3], 0, 4, 1, 5), latest = BLAKE3_SHUFFLE(V, x[2], x[3], 2, 6, 3, 7);
    x[0] = BLAKE3_SHUFFLE(V, low, later, 0, 1, 4, 5);
    x[1] = BLAKE3_SHUFFLE(V, low, later, 2, 3, 6, 7);
    x[2] = BLAKE3_SHUFFLE(V, high, latest, 0, 1, 4, 5);
    x[3] = BLAKE3_SHUFFLE(V, high, latest, 2, 3, 6, 7);
}
#endif

#define MIX(a, b, c, d, x, y) \
    v[a] += v[b] + m[x]; v[d] = turned_bytes<16>(v[d] ^ v[a]); \
    v[c] += v[d];        v[b] = turned<12>(v[b] ^ v[c]); \
    v[a] += v[b] + m[y]; v[d] = turned_bytes<8>(v[d] ^ v[a]); \
    v[c] += v[d];        v[b] = turned<7>(v[b] ^ v[c]);
#define S(r, i) SCHEDULE[r][i]
#define ROUND(r) \
    MIX(0, 4, 8, 12, S(r, 0), S(r, 1)) MIX(1, 5, 9, 13, S(r, 2), S(r, 3)) \
    MIX(2, 6, 10, 14, S(r, 4), S(r, 5)) MIX(3, 7, 11, 15, S(r, 6), S(r, 7)) \
    MIX(0, 5, 10, 15, S(r, 8), S(r, 9)) MIX(1, 6, 11, 12, S(r, 10), S(r, 11)) \
    MIX(2, 7, 8, 13, S(r, 12), S(r, 13)) MIX(3, 4, 9, 14, S(r, 14), S(r, 15))

// The chaining values of at most LANES nodes.
TARGET static void many(const Node* nodes, num count) {
    alignas(64) uint8_t rest[LANES][BLOCK];  // the last block of each, if it is not full
    alignas(64) uint32_t last[LANES], left[LANES], first_flags[LANES], flags[LANES], last_flags[LANES];
    alignas(64) uint32_t low[LANES], high[LANES], out[LANES][8];
    const uint8_t* at[LANES];
    uintptr_t ahead[LANES];
    uint32_t whole[LANES], steps = 1;
    memset(rest, 0, sizeof rest);
    for (int i = 0; i < LANES; i++) {
        const Node& node = nodes[i < count ? i : 0];
        uint32_t size = i < count ? node.size : 0, over = size % BLOCK;
        at[i] = node.at;
        ahead[i] = (uintptr_t)node.ahead;
        whole[i] = size / BLOCK;
        if (over) memcpy(rest[i], node.at + BLOCK * whole[i], over);
        uint32_t blocks = whole[i] + (over || !whole[i]);
        last[i] = blocks - 1;
        left[i] = size - BLOCK * last[i];
        first_flags[i] = node.first_flags;
        flags[i] = node.flags;
        last_flags[i] = node.last_flags;
        low[i] = (uint32_t)node.counter;
        high[i] = (uint32_t)(node.counter >> 32);
        steps = blocks > steps ? blocks : steps;
    }
    V h[8];
#pragma GCC unroll 16
    for (int i = 0; i < 8; i++) h[i] = splat(IV[i]);
    for (uint32_t step = 0; step < steps; step++) {
        V m[16], v[16];
#pragma GCC unroll 16
        for (int g = 0; g < 16; g += LANES)  // LANES words of every block at a time
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++) {
                const uint8_t* from = step < whole[i] ? at[i] + BLOCK * step : rest[i];
                memcpy(&m[g + i], from + 4 * g, sizeof(V));
            }
#pragma GCC unroll 16
        for (int g = 0; g < 16; g += LANES) transpose(m + g);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) __builtin_prefetch((const void*)(ahead[i] + BLOCK * step));
        V ends = (V)((Signed)words(last) == (Signed)splat(step));
#pragma GCC unroll 16
        for (int i = 0; i < 8; i++) v[i] = h[i];
#pragma GCC unroll 16
        for (int i = 0; i < 4; i++) v[8 + i] = splat(IV[i]);
        v[12] = words(low);
        v[13] = words(high);
        v[14] = chosen(ends, words(left), splat(BLOCK));
        v[15] = words(flags) | (ends & words(last_flags)) | (step ? V{} : words(first_flags));
        ROUND(0) ROUND(1) ROUND(2) ROUND(3) ROUND(4) ROUND(5) ROUND(6)
        V goes_on = (V)((Signed)words(last) >= (Signed)splat(step));
#pragma GCC unroll 16
        for (int i = 0; i < 8; i++) h[i] = chosen(goes_on, v[i] ^ v[i + 8], h[i]);
    }
    for (int g = 0; g < 8; g += LANES) {
        V columns[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) columns[i] = g + i < 8 ? h[g + i] : V{};
        transpose(columns);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) memcpy(out[i] + g, &columns[i], sizeof(V) < DIGEST ? sizeof(V) : DIGEST);
    }
    for (num i = 0; i < count; i++) memcpy(nodes[i].to, out[i], DIGEST);
}
#undef ROUND
#undef S
#undef MIX

#define PICK(x, a, b, c, d) BLAKE3_SHUFFLE(Row, x, x, a, b, c, d)
#define HALF(w, x, y, z) \
    a = (a + Row{S(w), S(x), S(y), S(z)}) + b;                 d = turned<16>(d ^ a); c += d; b = turned<12>(b ^ c); \
    a = (a + Row{S(w + 1), S(x + 1), S(y + 1), S(z + 1)}) + b; d = turned<8>(d ^ a);  c += d; b = turned<7>(b ^ c);

// One compression: `h`, eight words, becomes the next.
INLINE void compress(uint32_t* h, const uint32_t* m, uint64_t counter, uint32_t size, uint32_t flags) {
    Row a, b, c = {IV[0], IV[1], IV[2], IV[3]}, d = {(uint32_t)counter, (uint32_t)(counter >> 32), size, flags};
    memcpy(&a, h, sizeof a);
    memcpy(&b, h + 4, sizeof b);
#define S(i) m[SCHEDULE[r][i]]
#pragma GCC unroll 7
    for (int r = 0; r < 7; r++) {
        HALF(0, 2, 4, 6)
        a = PICK(a, 3, 0, 1, 2);  // diagonals become columns; b stays in place, for it is ready last
        d = PICK(d, 2, 3, 0, 1);
        c = PICK(c, 1, 2, 3, 0);
        HALF(14, 8, 10, 12)
        a = PICK(a, 1, 2, 3, 0);
        d = PICK(d, 2, 3, 0, 1);
        c = PICK(c, 3, 0, 1, 2);
    }
#undef S
    a ^= c;
    b ^= d;
    memcpy(h, &a, sizeof a);
    memcpy(h + 4, &b, sizeof b);
}
#undef HALF
#undef PICK

// The chaining value of one node.
TARGET static void one(const Node& node) {
    uint32_t h[8], m[16], left = node.size, flags = node.flags | node.first_flags;
    const uint8_t* at = node.at;
    memcpy(h, IV, sizeof h);
    for (; left > BLOCK; left -= BLOCK, at += BLOCK, flags = node.flags) {
        memcpy(m, at, BLOCK);
        compress(h, m, node.counter, BLOCK, flags);
    }
    memset(m, 0, sizeof m);
    if (left) memcpy(m, at, left);
    compress(h, m, node.counter, left, flags | node.last_flags);
    memcpy(node.to, h, sizeof h);
}

// digest = hash(digest ++ contents[i]), one after the other.
TARGET static void chained(uint8_t* digest, const uint8_t* contents, num count) {
    uint32_t h[8], m[16];
    memcpy(m, digest, DIGEST);
    for (num i = 0; i < count; i++) {
        memcpy(h, IV, sizeof h);
        memcpy(m + 8, contents + DIGEST * i, DIGEST);
        compress(h, m, 0, BLOCK, START | END | ROOT);
        memcpy(m, h, sizeof h);
    }
    memcpy(digest, m, DIGEST);
}

#undef INLINE
