// A batch of plain samples off the wire: read, checked, hashed and described in one pass over its bytes.
//
// What is plain, and what this must agree with, stands in intake.py, which compiles this file. Whatever
// is not plain is declined, and so is every byte that protobuf would not write for a plain batch; so no
// case has to be thought of here that is not right in every respect.
//
// Every read goes through a View, which knows its end. Nothing is allocated; what is written goes into
// the caller's rows and parts (as many as samples are taken), hashes and text (whose ends are checked).
#include <cstdint>
#include <cstring>

#include "../blake3.h"

extern "C" int utf8_fast(const uint8_t* at, int64_t size);

typedef int64_t num;

enum Modality : num { NONE = -1, TEXT = 0, AUDIO = 1, IMAGE = 2 };
static const char* const MODALITIES[] = {"text", "audio", "image"};

enum Encoding : num { UNSAID, WAV, FLAC, OGG, MP3, OPUS, S16LE, F32LE, PNG, JPEG, WEBP, GIF, FOREIGN };
static const char* const ENCODINGS[] = {
    "", "wav", "flac", "ogg", "mp3", "opus", "pcm_s16le", "pcm_f32le", "png", "jpeg", "webp", "gif"};

static const num ROLE_CHARS_MAX = 64;
static const num INT32_MOST = 0x7fffffff;
static const num YEAR_9999_US = 253402300800000000;
static const num DIGEST = 32;
static const num CHUNK = 2048;  // bytes that are hashed while the next come from memory
static const num AROUND = 144;        // bytes of a layout beside the id and the data
static const num HEADS_ROOM = 16384;  // of layouts that are hashed at once; an id takes at most the rest

// OpenSSL's SHA-256; its context takes 112 bytes.
typedef int (*Init)(void*);
typedef int (*Update)(void*, const void*, size_t);
typedef int (*Final)(uint8_t*, void*);

struct Bounds {
    num samples, id_chars, text_bytes, part_bytes, small_bytes, head_bytes, text_room, small_room;
    Init init; Update update; Final final;
};

struct Row {  // places count from the start of the message
    num time_us, start, size, modality, encoding, rate_hz, channels;
    num head;  // bytes to look at; -1: all
    num told_end;  // where its line ends
    num id_start, id_size, role_start, role_size;
};

struct Told { num offset /* -1: none */, large, media, bytes, small /* of the bytes */; };

struct View {
    const uint8_t *at = nullptr, *end = nullptr;
    num size() const { return end - at; }
    bool more() const { return at < end; }
    bool starts(const char* with, num length, num from = 0) const {
        return size() >= from + length && memcmp(at + from, with, (size_t)length) == 0;
    }
};

// A number of at most 63 bits in its shortest form.
static bool read_number(View& from, num& value) {
    uint64_t found = 0;
    for (int shift = 0; shift < 63; shift += 7) {
        if (!from.more()) return false;
        uint8_t byte = *from.at++;
        found |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) { value = (num)found; return byte != 0 || shift == 0; }
    }
    return false;
}

static bool read_bytes(View& from, View& value) {
    num size;
    if (!read_number(from, size) || size > from.size()) return false;
    value.at = from.at;
    value.end = from.at += size;
    return true;
}

// Whether the field of this tag comes for the first time. Tags of one byte only: fields 1 to 15.
static bool once(uint32_t& seen, uint8_t tag) {
    uint32_t bit = 1u << (tag >> 3);
    bool first = !(seen & bit);
    seen |= bit;
    return first && tag < 0x80;
}

struct Reader {
    const Bounds& bounds;
    const uint8_t* message;

    void place(const View& found, num& start, num& size) const {
        start = found.at - message;
        size = found.size();
    }
    View data(const Row& row) const { return {message + row.start, message + row.start + row.size}; }

    bool content(View from, Row& row) const {
        uint32_t seen = 0;
        View found;
        while (from.more()) {
            uint8_t tag = *from.at++;
            if (!once(seen, tag) || (tag != 0x0a && row.modality == TEXT)) return false;
            bool read = tag == 0x0a ? read_bytes(from, found)
                      : tag == 0x10 ? read_number(from, row.encoding)
                      : row.modality == IMAGE ? false
                      : tag == 0x18 ? read_number(from, row.rate_hz)
                      : tag == 0x20 ? read_number(from, row.channels) : false;
            if (!read) return false;
        }
        if (!found.more()) return false;
        place(found, row.start, row.size);
        return true;
    }

    bool part(View from, Row& row) const {
        uint32_t seen = 0;
        View inner;
        num start_us = 0;
        while (from.more()) {
            uint8_t tag = *from.at++;
            if (!once(seen, tag)) return false;
            switch (tag) {
                case 0x0a:
                    if (!read_bytes(from, inner)) return false;
                    place(inner, row.role_start, row.role_size);
                    break;
                case 0x12: case 0x1a: case 0x22:
                    if (row.modality != NONE || !read_bytes(from, inner)) return false;
                    row.modality = (tag >> 3) - 2;
                    if (!content(inner, row)) return false;
                    break;
                case 0x38:
                    if (!read_number(from, start_us) || start_us) return false;
                    break;
                default: return false;
            }
        }
        return row.modality != NONE;
    }

    bool sample(View from, Row& row) const {
        uint32_t seen = 0;
        View inner;
        row = Row();
        row.modality = NONE;
        while (from.more()) {
            uint8_t tag = *from.at++;
            if (!once(seen, tag)) return false;
            switch (tag) {
                case 0x0a:
                    if (!read_bytes(from, inner)) return false;
                    place(inner, row.id_start, row.id_size);
                    break;
                case 0x10:
                    if (!read_number(from, row.time_us)) return false;
                    break;
                case 0x1a:
                    if (!read_bytes(from, inner) || !part(inner, row)) return false;
                    break;
                default: return false;
            }
        }
        return row.modality != NONE && named(row) && row.time_us < YEAR_9999_US && taken(row);
    }

    bool named(const Row& row) const {
        const uint8_t *id = message + row.id_start, *role = message + row.role_start;
        if (row.id_size < 1 || row.id_size > bounds.id_chars || row.role_size > ROLE_CHARS_MAX) return false;
        if (row.id_size > HEADS_ROOM - AROUND) return false;
        if (id[0] == ' ' || id[row.id_size - 1] == ' ') return false;
        for (num i = 0; i < row.id_size; i++)
            if (id[i] < 0x20 || id[i] > 0x7e) return false;
        for (num i = 0; i < row.role_size; i++) {
            uint8_t c = role[i];
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) return false;
        }
        return true;
    }

    bool taken(Row& row) const {
        if (row.size > bounds.part_bytes) return false;
        if (row.modality == TEXT)
            return row.size <= bounds.text_bytes && utf8_fast(message + row.start, row.size);
        if (row.encoding >= FOREIGN || row.rate_hz > INT32_MOST || row.channels > INT32_MOST) return false;
        bool raw = row.encoding == S16LE || row.encoding == F32LE;
        num whole = row.size < bounds.head_bytes ? row.size : bounds.head_bytes;
        if (raw) {
            row.head = 0;
            return row.modality == AUDIO;
        }
        if (row.rate_hz || row.channels) return false;
        View seen = data(row);
        num found = sniffed(seen);
        bool picture = found >= PNG;
        if (found == UNSAID || picture != (row.modality == IMAGE)) return false;
        row.head = picture || found == WAV || found == FLAC ? whole : -1;
        return row.encoding == UNSAID || row.encoding == found || (row.encoding == OGG && found == OPUS);
    }

    // rankspace.media.magic.sniff; UNSAID where it tells none, or a film.
    static num sniffed(const View& data) {
        if (data.starts("\x89PNG\r\n\x1a\n", 8)) return PNG;
        if (data.starts("\xff\xd8\xff", 3)) return JPEG;
        if (data.starts("GIF87a", 6) || data.starts("GIF89a", 6)) return GIF;
        if (data.starts("fLaC", 4)) return FLAC;
        if (data.starts("ID3", 3)) return MP3;
        if (data.starts("RIFF", 4))
            return data.starts("WAVE", 4, 8) ? WAV : data.starts("WEBP", 4, 8) ? WEBP : UNSAID;
        if (data.starts("OggS", 4)) {
            for (num from = 0; from <= 64 - 8; from++)
                if (data.starts("OpusHead", 8, from)) return OPUS;
            return OGG;
        }
        if (data.starts("ftyp", 4, 4)) return UNSAID;
        bool frame = data.size() > 1 && data.at[0] == 0xff && (data.at[1] & 0xe6) == 0xe2;
        return frame ? MP3 : UNSAID;
    }
};

// SHA-256 of small things, gathered first, for a call costs more than its bytes, and of large ones.
struct Sha {
    const Bounds& bounds;
    alignas(16) uint8_t context[256];
    uint8_t gathered[512];
    num size = 0;
    explicit Sha(const Bounds& with) : bounds(with) { bounds.init(context); }
    void flush() {
        if (size) bounds.update(context, gathered, (size_t)size);
        size = 0;
    }
    void add(const void* bytes, num length) {
        if (length > (num)sizeof gathered - size) flush();
        if (length > (num)sizeof gathered) {
            const uint8_t* at = (const uint8_t*)bytes;
            while (length > 0) {
                num some = length < CHUNK ? length : CHUNK;
                for (num ahead = some; ahead < length && ahead < some + CHUNK; ahead += 64)
                    __builtin_prefetch(at + ahead);
                bounds.update(context, at, (size_t)some);
                at += some;
                length -= some;
            }
            return;
        }
        memcpy(gathered + size, bytes, (size_t)length);
        size += length;
    }
    void end(uint8_t* digest) {
        flush();
        bounds.final(digest, context);
    }
};

// What rankspace.store.content lays out around the data of a sample of one part without labels, frames or
// a start; at most AROUND bytes and the id.
struct Layout {
    uint8_t* at;
    void add(const void* bytes, num length) {
        memcpy(at, bytes, (size_t)length);
        at += length;
    }
    void integer(uint64_t value, int width) {  // little-endian
        for (int i = 0; i < width; i++) *at++ = (uint8_t)(value >> (8 * i));
    }
    void word(const void* text, num length) {
        integer((uint64_t)length, 4);
        add(text, length);
    }
    void word(const char* text) { word(text, (num)strlen(text)); }
    void head(const uint8_t* message, const Row& row) {
        add("rankspace.sample.1", 18);
        word(message + row.id_start, row.id_size);
        integer((uint64_t)row.time_us, 8);
        integer(0, 4);  // labels
        integer(1, 4);  // parts
        word(MODALITIES[row.modality]);
        word(ENCODINGS[row.encoding]);
        word(message + row.role_start, row.role_size);
        integer((uint64_t)row.rate_hz, 4);
        integer((uint64_t)row.channels, 4);
        integer((uint64_t)row.size, 8);
    }
};

// rankspace.store.content.digest of every sample, as many at once as their heads have room for.
static void hash(const uint8_t* message, const Row* rows, num count, uint8_t* digests) {
    static const uint8_t FRAMES[4] = {0};  // none
    uint8_t heads[HEADS_ROOM];
    blake3::Part parts[blake3::PIECES][3];
    blake3::Input inputs[blake3::PIECES];
    for (num done = 0, some = 0; done < count; done += some) {
        Layout layout = {heads};
        for (some = 0; some < blake3::PIECES && done + some < count; some++) {
            const Row& row = rows[done + some];
            if (heads + HEADS_ROOM - layout.at < AROUND + row.id_size) break;
            const uint8_t* head = layout.at;
            layout.head(message, row);
            parts[some][0] = {head, layout.at - head};
            parts[some][1] = {message + row.start, row.size};
            parts[some][2] = {FRAMES, sizeof FRAMES};
            inputs[some] = blake3::Input::of(parts[some], 3);
        }
        blake3::hash_many(inputs, some, digests + DIGEST * done);
    }
}

struct Text {
    char *start, *at, *end;
    bool full = false;
    num size() const { return at - start; }
    void put(const void* bytes, num size) {
        if (full || size > end - at) { full = true; return; }
        memcpy(at, bytes, (size_t)size);
        at += size;
    }
    void put(const char* words) { put(words, (num)strlen(words)); }
    void quoted(const uint8_t* ascii, num size) {
        for (num i = 0; i < size; i++) {
            if (ascii[i] == '"' || ascii[i] == '\\') put("\\", 1);
            put(ascii + i, 1);
        }
    }
    void number(num value) {
        char digits[20], *from = digits + sizeof digits;
        do { *--from = (char)('0' + value % 10); value /= 10; } while (value);
        put(from, digits + sizeof digits - from);
    }
    void field(const char* name, num value) {
        if (!value) return;
        put(",\""); put(name); put("\":"); number(value);
    }
};

// The line of a sample in a run (rankspace.store.runs).
static void describe(Text& text, const uint8_t* message, const Row& row) {
    text.put("[\"");
    text.quoted(message + row.id_start, row.id_size);
    text.put("\",");
    text.number(row.time_us);
    text.put(",{},[{\"modality\":\"");
    text.put(MODALITIES[row.modality]);
    if (row.encoding) { text.put("\",\"encoding\":\""); text.put(ENCODINGS[row.encoding]); }
    if (row.role_size) { text.put("\",\"role\":\""); text.put(message + row.role_start, row.role_size); }
    text.put("\"");
    text.field("rate_hz", row.rate_hz);
    text.field("channels", row.channels);
    text.put(",\"data\":");
    text.number(row.size);
    text.put("}]],");
}

// The hashes of all media, one after the other, that were sent, if any.
struct Sent {
    View sha256, blake3;

    // Whether they are right. The media are listed in `parts`, which has room for as many as `rows`.
    bool hold(const Bounds& bounds, const uint8_t* message, const Row* rows, num count, blake3::Part* parts) const {
        uint8_t found[DIGEST];
        if (sha256.at != nullptr) {
            Sha sha(bounds);
            for (num i = 0; i < count; i++) sha.add(message + rows[i].start, rows[i].size);
            sha.end(found);
            if (memcmp(found, sha256.at, DIGEST) != 0) return false;
        }
        if (blake3.at == nullptr) return true;
        for (num i = 0; i < count; i++) parts[i] = {message + rows[i].start, rows[i].size};
        const blake3::Input media = blake3::Input::of(parts, count);
        blake3::hash_many(&media, 1, found);
        return memcmp(found, blake3.at, DIGEST) == 0;
    }
};

// How many samples there are, checked; 0: declined.
static num read(const Reader& reader, View message, Row* rows, Told& told, Sent& sent) {
    num count = 0;
    while (message.more()) {
        View batch, inner;
        uint32_t seen = 0;
        if (*message.at++ != 0x12 || !read_bytes(message, batch)) return 0;
        while (batch.more()) {
            uint8_t tag = *batch.at++;
            if (tag == 0x12) {
                if (count == reader.bounds.samples || !read_bytes(batch, inner)) return 0;
                if (!reader.sample(inner, rows[count++])) return 0;
                continue;
            }
            if (!once(seen, tag)) return 0;
            if (tag == 0x08) {
                if (!read_number(batch, told.offset)) return 0;
                continue;
            }
            if (tag != 0x1a && tag != 0x22) return 0;
            View& hash = tag == 0x1a ? sent.sha256 : sent.blake3;
            if (!read_bytes(batch, hash) || hash.size() != DIGEST) return 0;
        }
    }
    return count;
}

// How many samples the message holds, all of them plain and told in `rows`, `hashes`, `words`, `small`
// (the small media, one after the other) and `told`; 0: it is declined. What `parts` holds is of no use.
extern "C" num intake_read(
    const uint8_t* message, num size, const Bounds* bounds, Row* rows, blake3::Part* parts, uint8_t* hashes,
    char* words, char* small, Told* told
) {
    if (size < 0 || size > INT32_MOST) return 0;
    View whole;
    Sent sent;
    whole.at = message;
    whole.end = message + size;
    *told = {-1, 0, 0, 0, 0};
    num count = read({*bounds, message}, whole, rows, *told, sent);
    if (!count || !sent.hold(*bounds, message, rows, count, parts)) return 0;
    hash(message, rows, count, hashes);
    Text text = {words, words, words + bounds->text_room};
    Text kept = {small, small, small + bounds->small_room};
    for (num i = 0; i < count && !text.full && !kept.full; i++) {
        Row& row = rows[i];
        bool large = row.size > bounds->small_bytes;
        describe(text, message, row);
        if (!large) kept.put(message + row.start, row.size);
        row.told_end = text.size();
        told->large += large;
        told->media += row.modality != TEXT;
        told->bytes += row.size;
    }
    told->small = kept.size();
    return text.full || kept.full ? 0 : count;
}
