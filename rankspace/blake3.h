// BLAKE3 of many inputs at once: nodes of all their trees share the lanes of the processor's vectors.
//
//     inputs ─▶ chunks of 1024 bytes ─▶ chaining values ─▶ pairs, level by level ─▶ digests
//
// (J. O'Connor, J-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn: BLAKE3, 2020, §2 and §5.) Whole chunks of all
// inputs fill the lanes first, then their last ones, then the parents of each level. A left subtree has the
// largest power of two of chunks, which is what pairing neighbours gives; an input of more than `SPAN`
// chunks is taken in spans of as many, whose values go on a stack. An input may lie in any number of
// places: a chunk that lies in one is read there, any other is joined first.
//
// Nothing is allocated, less than 64 KB of stack are used, and nothing but the inputs is read. It runs on
// 16 lanes with AVX-512, on 8 with AVX2, and on 4 with what the compiler makes of vectors elsewhere. While
// a lane works on a chunk it fetches the one that it will have next, for media come from another core.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they lie in memory, the low byte first"
#endif

#ifdef __clang__
#define BLAKE3_SHUFFLE(W, x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define BLAKE3_SHUFFLE(W, x, y, ...) __builtin_shuffle(x, y, (W){__VA_ARGS__})
#endif

namespace blake3 {

typedef int64_t num;

struct Part { const uint8_t* at; num size; };  // bytes in one place

struct Input {  // what is hashed is its parts, one after the other
    const Part* parts;
    num count, size;
    static Input of(const Part* parts, num count) {
        num size = 0;
        for (num i = 0; i < count; i++) size += parts[i].size;
        return {parts, count, size};
    }
};

struct Cursor {  // a part of an input, and how many bytes come before it
    num part = 0, before = 0;
    void seek(const Input& input, num to) {  // on to the part that has this byte
        while (part < input.count && to - before >= input.parts[part].size) before += input.parts[part++].size;
    }
};

static const num BLOCK = 64, CHUNK = 1024, DIGEST = 32;
static const num SPAN = 512;      // chunks that are held at once
static const num PIECES = 64;     // inputs that are held at once
static const num LEVELS = 54;     // of a tree over 2^64 bytes
static const num LANES_MAX = 16;
static const num FEW = 2;         // nodes that are faster one by one

enum : uint32_t { START = 1, END = 2, PARENT = 4, ROOT = 8 };

static const uint32_t IV[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static constexpr uint8_t SCHEDULE[7][16] = {  // which word of a block comes when, round by round
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1}, {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4}, {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13}};

// A chunk or a parent: at most 16 blocks in one place, and where its value goes.
struct Node {
    const uint8_t* at;
    const uint8_t* ahead;  // what is likely read next from memory
    uint8_t* to;
    uint64_t counter;
    uint32_t size, first_flags, flags, last_flags;
};

typedef uint32_t Row __attribute__((vector_size(16)));

namespace plain {
#define LANES 4
#define TARGET
#define SHUFFLES 0
#include "blake3_lanes.h"
#undef SHUFFLES
#undef TARGET
#undef LANES
}
#if defined(__x86_64__)
namespace avx2 {
#define LANES 8
#define TARGET __attribute__((target("avx2")))
#define SHUFFLES 1
#include "blake3_lanes.h"
#undef SHUFFLES
#undef TARGET
#undef LANES
}
namespace avx512 {
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512vl,tune=icelake-server")))
#define SHUFFLES 0
#include "blake3_lanes.h"
#undef SHUFFLES
#undef TARGET
#undef LANES
}
#endif

struct Kernels {
    num lanes;
    void (*many)(const Node*, num);
    void (*one)(const Node&);
    void (*chained)(uint8_t*, const uint8_t*, num);
};

// Of at most this many lanes, as many as the processor has.
static inline Kernels kernels(num lanes) {
#if defined(__x86_64__)
    if (lanes >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        return {16, avx512::many, avx512::one, avx512::chained};
    if (lanes >= 8 && __builtin_cpu_supports("avx2")) return {8, avx2::many, avx2::one, avx2::chained};
#endif
    (void)lanes;
    return {4, plain::many, plain::one, plain::chained};
}

// Nodes that wait until there is one for every lane.
struct Queue {
    const Kernels& kernel;
    num count = 0;
    Node nodes[LANES_MAX];
    uint8_t joined[LANES_MAX][CHUNK];  // bytes of a node that do not lie in one place
    explicit Queue(const Kernels& with) : kernel(with) {}
    uint8_t* room() { return joined[count]; }  // for the node that is pushed next
    void push(const Node& node) {
        nodes[count++] = node;
        if (count == kernel.lanes) flush();
    }
    void flush() {
        if (count > FEW) kernel.many(nodes, count);
        else for (num i = 0; i < count; i++) kernel.one(nodes[i]);
        count = 0;
    }
};

// Some chunks of an input, in a row: all of them, or a span.
struct Piece {
    const Input* input;
    num first, chunks, total;  // of `total` chunks those from `first` on
    num full;                  // how many of them have all their bytes
    uint8_t* to;
    num base, nodes;           // where its values are, and how many
    Cursor start;              // not behind its first byte
    bool whole() const { return chunks == total; }
};

static inline num chunks_of(num size) { return size > CHUNK ? (size + CHUNK - 1) / CHUNK : 1; }

// The bytes [from, from + size) of an input, in one place; the cursor is at the first of them.
static inline const uint8_t* joined(const Input& input, Cursor at, num from, num size, uint8_t* room) {
    if (!size) return room;
    const Part* part = input.parts + at.part;
    num skip = from - at.before;
    if (part->size - skip >= size) return part->at + skip;
    for (num done = 0; done < size; part++, skip = 0) {
        num some = part->size - skip < size - done ? part->size - skip : size - done;
        if (some) memcpy(room + done, part->at + skip, (size_t)some);
        done += some;
    }
    return room;
}

struct Slice {
    struct Walk {  // over the full chunks of all pieces, then over the others
        num piece, chunk;
        bool full;
        Cursor cursor;  // not behind the chunk
    };

    Queue queue;
    num count = 0, held = 0;
    Piece pieces[PIECES];
    alignas(64) uint8_t values[2][SPAN * DIGEST];  // of this level, and of the next
    explicit Slice(const Kernels& with) : queue(with) {}

    bool takes(num chunks) const { return count < PIECES && held + chunks <= SPAN; }
    void add(const Input& input, num first, num chunks, num total, uint8_t* to, Cursor start = Cursor()) {
        num full = input.size / CHUNK - first;
        pieces[count++] = {&input, first, chunks, total, full < chunks ? full : chunks, to, held, chunks, start};
        held += chunks;
    }

    // The value of each piece; of one that is all of its input, the digest.
    void run() {
        Walk now = {0, -1, true, pieces[0].start}, later = now;
        for (num i = 0; i < queue.kernel.lanes; i++) next(later);
        while (next(now)) {
            next(later);
            push(now, later);
        }
        queue.flush();
        uint8_t *from = values[0], *to = values[1];
        bool more = true;
        while (more) {
            more = false;
            for (num i = 0; i < count; i++) more |= pair(pieces[i], from, to);
            queue.flush();
            uint8_t* other = from;
            from = to;
            to = other;
        }
        for (num i = 0; i < count; i++)
            if (!pieces[i].whole()) memcpy(pieces[i].to, from + DIGEST * pieces[i].base, DIGEST);
        count = held = 0;
    }

    bool next(Walk& at) const {
        at.chunk++;
        while (at.piece < count) {
            const Piece& p = pieces[at.piece];
            if (at.chunk < (at.full ? p.full : p.chunks)) return true;
            if (++at.piece == count && at.full) at = {0, 0, false, {}};
            if (at.piece == count) break;
            at.chunk = at.full ? 0 : pieces[at.piece].full;
            at.cursor = pieces[at.piece].start;
        }
        return false;
    }

    void push(Walk& now, Walk& later) {
        const Piece& p = pieces[now.piece];
        num at = p.first + now.chunk, size = now.full ? CHUNK : p.input->size - CHUNK * at;
        now.cursor.seek(*p.input, CHUNK * at);
        const uint8_t* from = joined(*p.input, now.cursor, CHUNK * at, size, queue.room());
        uint8_t* to = p.total == 1 ? p.to : values[0] + DIGEST * (p.base + now.chunk);
        uint32_t flags = p.total == 1 ? END | ROOT : END;
        const uint8_t* ahead = later.piece < count ? likely(later) : from;
        queue.push({from, ahead, to, (uint64_t)at, (uint32_t)size, START, 0, flags});
    }

    // Where the bytes of a chunk begin, or those of them around its middle, if they lie in many places.
    const uint8_t* likely(Walk& at) const {
        const Piece& p = pieces[at.piece];
        const Input& input = *p.input;
        num from = CHUNK * (p.first + at.chunk), size = input.size - from < CHUNK ? input.size - from : CHUNK;
        at.cursor.seek(input, from + size / 2);
        if (at.cursor.part == input.count) return nullptr;
        num skip = from - at.cursor.before;
        return input.parts[at.cursor.part].at + (skip > 0 ? skip : 0);
    }

    // From the values of a level those of the next; whether there was anything to pair.
    bool pair(Piece& p, const uint8_t* from, uint8_t* to) {
        if (p.whole() && p.nodes == 1) return false;
        from += DIGEST * p.base;
        to += DIGEST * p.base;
        num pairs = p.nodes / 2;
        bool root = p.whole() && p.nodes == 2;
        for (num i = 0; i < pairs; i++) {
            const uint8_t* at = from + 2 * DIGEST * i;
            uint8_t* where = root ? p.to : to + DIGEST * i;
            queue.push({at, at, where, 0, (uint32_t)BLOCK, 0, PARENT, root ? ROOT : 0u});
        }
        if (p.nodes & 1) memcpy(to + DIGEST * pairs, from + 2 * DIGEST * pairs, DIGEST);
        p.nodes -= pairs;
        return pairs != 0;
    }
};

// An input of many spans: the values of whole subtrees are stacked, and joined as soon as two are alike.
static inline void hash_spans(Slice& slice, const Input& input, num total, uint8_t* digest) {
    uint8_t stack[LEVELS + 1][DIGEST];
    num height = 0;
    Cursor start;
    auto join = [&](uint32_t flags, uint8_t* to) {
        height -= 2;
        slice.queue.kernel.one({stack[height], stack[height], to, 0, (uint32_t)BLOCK, 0, PARENT, flags});
        height++;
    };
    for (num first = 0; first < total; first += SPAN) {
        num behind = first / SPAN, some = total - first < SPAN ? total - first : SPAN;
        while (height > __builtin_popcountll((uint64_t)behind)) join(0, stack[height - 2]);
        start.seek(input, CHUNK * first);
        slice.add(input, first, some, total, stack[height], start);
        slice.run();
        height++;
    }
    while (height > 2) join(0, stack[height - 2]);
    join(ROOT, digest);
}

// The digests of all inputs, 32 bytes each, on at most so many lanes.
static inline void hash_many(const Input* inputs, num count, uint8_t* digests, num lanes = LANES_MAX) {
    const Kernels with = kernels(lanes);
    Slice slice(with);
    for (num i = 0; i < count; i++) {
        num chunks = chunks_of(inputs[i].size);
        if (!slice.takes(chunks)) slice.run();
        if (chunks > SPAN) hash_spans(slice, inputs[i], chunks, digests + DIGEST * i);
        else slice.add(inputs[i], 0, chunks, chunks, digests + DIGEST * i);
    }
    slice.run();
}

// digest = hash(digest ++ contents[i]) for each of these 32 bytes, one after the other.
static inline void chain(uint8_t* digest, const uint8_t* contents, num count, num lanes = LANES_MAX) {
    kernels(lanes).chained(digest, contents, count);
}

}  // namespace blake3
