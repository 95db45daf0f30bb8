// Whether bytes are a text: strict UTF-8 as Python's decoder has it (no lone surrogates, overlong
// forms, cut characters, nothing beyond U+10FFFF), and no NUL.
//
// `utf8_fast` looks at sixteen bytes at once: whether two bytes may follow each other is told by three
// tables, of the high and the low half of the first and the high half of the second (J. Keiser, D.
// Lemire: Validating UTF-8 in less than one instruction per byte, 2021). `utf8_plain` goes byte by
// byte and is what other processors have.
#include <cstdint>
#include <cstring>

extern "C" int utf8_plain(const uint8_t* at, int64_t size) {
    const uint8_t* end = at + size;
    while (at < end) {
        uint8_t first = *at++;
        if (first == 0) return 0;
        if (first < 0x80) continue;
        if (first < 0xc2 || first > 0xf4) return 0;
        int more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if (end - at < more) return 0;
        uint8_t low = 0x80, high = 0xbf;  // of the second byte
        if (first == 0xe0) low = 0xa0;
        if (first == 0xed) high = 0x9f;
        if (first == 0xf0) low = 0x90;
        if (first == 0xf4) high = 0x8f;
        if (*at < low || *at > high) return 0;
        for (int next = 1; next < more; next++)
            if (at[next] < 0x80 || at[next] > 0xbf) return 0;
        at += more;
    }
    return 1;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HERE __attribute__((target("ssse3")))

// What may be wrong with two bytes in a row; a bit stays where all three tables have it.
enum : uint8_t {
    SHORT = 1,         // a lead without what must follow
    LONG = 2,          // what may only follow, without a lead
    OVERLONG_3 = 4,
    LARGE = 8,         // beyond U+10FFFF
    SURROGATE = 16,
    OVERLONG_2 = 32,
    LARGE_1000 = 64,   // the same bit serves two mistakes that no first byte shares
    OVERLONG_4 = 64,
    TWO = 128,         // two that follow: right in a third or fourth place only
    CARRY = SHORT | LONG | TWO,
};

alignas(16) static const uint8_t FIRST_HIGH[16] = {
    LONG, LONG, LONG, LONG, LONG, LONG, LONG, LONG, TWO, TWO, TWO, TWO,
    SHORT | OVERLONG_2, SHORT, SHORT | OVERLONG_3 | SURROGATE, SHORT | LARGE | LARGE_1000 | OVERLONG_4,
};
alignas(16) static const uint8_t FIRST_LOW[16] = {
    CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4, CARRY | OVERLONG_2, CARRY, CARRY, CARRY | LARGE,
    CARRY | LARGE | LARGE_1000, CARRY | LARGE | LARGE_1000, CARRY | LARGE | LARGE_1000,
    CARRY | LARGE | LARGE_1000, CARRY | LARGE | LARGE_1000, CARRY | LARGE | LARGE_1000,
    CARRY | LARGE | LARGE_1000, CARRY | LARGE | LARGE_1000, CARRY | LARGE | LARGE_1000 | SURROGATE,
    CARRY | LARGE | LARGE_1000, CARRY | LARGE | LARGE_1000,
};
alignas(16) static const uint8_t SECOND_HIGH[16] = {
    SHORT, SHORT, SHORT, SHORT, SHORT, SHORT, SHORT, SHORT,
    LONG | OVERLONG_2 | TWO | OVERLONG_3 | LARGE_1000 | OVERLONG_4,
    LONG | OVERLONG_2 | TWO | OVERLONG_3 | LARGE,
    LONG | OVERLONG_2 | TWO | SURROGATE | LARGE, LONG | OVERLONG_2 | TWO | SURROGATE | LARGE,
    SHORT, SHORT, SHORT, SHORT,
};
alignas(16) static const uint8_t WHOLE[16] = {  // the greatest bytes that leave nothing open behind them
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0xef, 0xdf, 0xbf,
};

HERE static inline __m128i table(const uint8_t* values) { return _mm_load_si128((const __m128i*)values); }

struct State { __m128i wrong, zero, before, open; };

HERE static inline void look(State& s, __m128i now) {
    s.zero = _mm_or_si128(s.zero, _mm_cmpeq_epi8(now, _mm_setzero_si128()));
    if (_mm_movemask_epi8(now) == 0) {  // ASCII
        s.wrong = _mm_or_si128(s.wrong, s.open);
        s.open = _mm_setzero_si128();
        s.before = now;
        return;
    }
    const __m128i low = _mm_set1_epi8(0x0f);
    __m128i first = _mm_alignr_epi8(now, s.before, 15);
    __m128i high = _mm_and_si128(_mm_srli_epi16(first, 4), low);
    __m128i next = _mm_and_si128(_mm_srli_epi16(now, 4), low);
    __m128i found = _mm_and_si128(
        _mm_and_si128(_mm_shuffle_epi8(table(FIRST_HIGH), high),
                      _mm_shuffle_epi8(table(FIRST_LOW), _mm_and_si128(first, low))),
        _mm_shuffle_epi8(table(SECOND_HIGH), next));
    __m128i third = _mm_subs_epu8(_mm_alignr_epi8(now, s.before, 14), _mm_set1_epi8(0xe0 - 0x80));
    __m128i fourth = _mm_subs_epu8(_mm_alignr_epi8(now, s.before, 13), _mm_set1_epi8(0xf0 - 0x80));
    __m128i must = _mm_and_si128(_mm_or_si128(third, fourth), _mm_set1_epi8((char)0x80));
    s.wrong = _mm_or_si128(s.wrong, _mm_xor_si128(must, found));
    s.open = _mm_subs_epu8(now, table(WHOLE));
    s.before = now;
}

HERE static int sixteen(const uint8_t* at, int64_t size) {
    __m128i none = _mm_setzero_si128();
    State s = {none, none, none, none};
    for (; size >= 16; at += 16, size -= 16) look(s, _mm_loadu_si128((const __m128i*)at));
    alignas(16) uint8_t rest[16];  // filled up with spaces, which leave nothing open
    memset(rest, ' ', sizeof rest);
    memcpy(rest, at, (size_t)size);
    look(s, _mm_load_si128((const __m128i*)rest));
    s.wrong = _mm_or_si128(_mm_or_si128(s.wrong, s.zero), s.open);
    return _mm_movemask_epi8(_mm_cmpeq_epi8(s.wrong, none)) == 0xffff;
}

extern "C" int utf8_fast(const uint8_t* at, int64_t size) {
    return __builtin_cpu_supports("ssse3") ? sixteen(at, size) : utf8_plain(at, size);
}
#else
extern "C" int utf8_fast(const uint8_t* at, int64_t size) { return utf8_plain(at, size); }
#endif
