// Inputs that end where their memory ends, hashed on every width of lanes: all must agree. Built with
// AddressSanitizer by test_hashing.py, so that a byte read beside an input ends it.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "../rankspace/blake3.h"

using namespace blake3;

static std::mt19937 chance(1);

static num below(num most) { return (num)(chance() % (uint32_t)most); }

static const uint8_t* memory(num size) {
    if (!size) return nullptr;
    uint8_t* found = (uint8_t*)malloc((size_t)size);
    for (num i = 0; i < size; i++) found[i] = (uint8_t)chance();
    return found;
}

// So many bytes in few places or in many, each with memory of its own.
static std::vector<Part> cut(num size) {
    std::vector<Part> parts;
    num most = below(2) ? size : 1 + below(below(2) ? 2000 : 50);
    while (size) {
        num some = below(3) ? below((most < size ? most : size) + 1) : most < size ? most : size;
        parts.push_back({memory(some), some});
        size -= some;
    }
    if (below(2)) parts.push_back({nullptr, 0});
    return parts;
}

static bool agree(num count, num size_max) {
    std::vector<std::vector<Part>> cuts;
    std::vector<Input> inputs;
    for (num i = 0; i < count; i++) cuts.push_back(cut(below(4) ? below(size_max + 1) : 64 * below(size_max / 64 + 1)));
    for (const auto& parts : cuts) inputs.push_back(Input::of(parts.data(), (num)parts.size()));
    size_t room = (size_t)(DIGEST * count);
    uint8_t *first = (uint8_t*)malloc(room), *other = (uint8_t*)malloc(room);
    bool same = true;
    hash_many(inputs.data(), count, first, 4);
    for (num lanes = 8; lanes <= LANES_MAX; lanes *= 2) {
        hash_many(inputs.data(), count, other, lanes);
        same = same && memcmp(first, other, room) == 0;
        chain(first, other, count, lanes);
        chain(first, other, 0, lanes);
        memcpy(first, other, room);
    }
    for (const auto& parts : cuts)
        for (const Part& part : parts) free((void*)part.at);
    free(first);
    free(other);
    return same;
}

int main() {
    for (int i = 0; i < 150; i++)
        if (!agree(1 + below(90), i % 3 ? 3000 : 200)) return puts("lanes differ"), 1;
    for (int i = 0; i < 10; i++)
        if (!agree(1 + below(3), 1 << 20)) return puts("lanes differ"), 1;
    return 0;
}
