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

static bool agree(num count, num size_max) {
    std::vector<Input> inputs;
    for (num i = 0; i < count; i++) {
        num size = below(4) ? below(size_max + 1) : 64 * below(size_max / 64 + 1);
        num head = below(3) ? below(size + 1) : 0, data = below(3) ? below(size - head + 1) : size - head;
        num tail = size - head - data;
        inputs.push_back({memory(head), head, memory(data), data, memory(tail), tail});
    }
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
    for (const Input& input : inputs)
        for (const uint8_t* each : {input.head, input.data, input.tail}) free((void*)each);
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
