// BLAKE3 for Python, on at most so many lanes; see blake3.h.
#include "blake3.h"

extern "C" void hashing_many(const blake3::Input* inputs, int64_t count, uint8_t* digests, int64_t lanes) {
    blake3::hash_many(inputs, count, digests, lanes);
}

extern "C" void hashing_chain(uint8_t* digest, const uint8_t* contents, int64_t count, int64_t lanes) {
    blake3::chain(digest, contents, count, lanes);
}
