/* unicode.c: UTF-8, classes of characters, and the characters that byte-level vocabularies write bytes as. */
#include <utf8proc.h>

#include "parts.h"

uint32_t lb_utf8_take(const char *text, size_t *bytes) {
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) return *bytes = 1, p[0];
    if (p[0] < 0xe0) return *bytes = 2, (p[0] & 31u) << 6 | (p[1] & 63u);
    if (p[0] < 0xf0) return *bytes = 3, (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
    return *bytes = 4, (p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u);
}

size_t lb_utf8_put(uint32_t c, char out[4]) {
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)c, (utf8proc_uint8_t *)out);
}

lb_status lb_utf8_check(const char *what, const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes;) {
        size_t n = lb_utf8_length(text + i, bytes - i);
        if (!n) return lb_fail(LB_EINVAL, "%s: byte %zu (%02x) is no UTF-8", what, i, (unsigned char)text[i]);
        i += n;
    }
    return LB_OK;
}

/* How many bytes at p belong to one sequence that is none: a lead byte and those that could still follow it. */
static size_t broken(const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text;
    size_t want = p[0] >= 0xc2 && p[0] < 0xe0   ? 2
                  : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                  : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                : 1,
           i = 1;
    if (want > 2 && n > 1) {
        unsigned char lo = p[0] == 0xe0   ? 0xa0
                           : p[0] == 0xf0 ? 0x90
                                          : 0x80,
                      hi = p[0] == 0xed   ? 0x9f
                           : p[0] == 0xf4 ? 0x8f
                                          : 0xbf;
        if (p[1] < lo || p[1] > hi) return 1;
    }
    while (i < want && i < n && (p[i] & 0xc0) == 0x80) i++;
    return i;
}

void lb_utf8_put_lossy(lb_grow *out, const char *bytes, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t len = lb_utf8_length(bytes + i, n - i);
        if (len) lb_grow_put(out, bytes + i, len);
        else lb_grow_put(out, "\xef\xbf\xbd", 3);
        i += len ? len : broken(bytes + i, n - i);
    }
}

bool lb_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a)
           || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static utf8proc_category_t category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

bool lb_is_word(uint32_t c) {
    switch (category(c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_PC: return true;
    default: return c == 0x200c || c == 0x200d;
    }
}

bool lb_is_numeric(uint32_t c) {
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool lb_is_punctuation(uint32_t c) {
    if (c < 128)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

/* Printable bytes of Latin-1 stand for themselves, the other 68 for U+0100 and on, in order. */
static bool is_itself(unsigned c) {
    return (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

int lb_byte_of_char(uint32_t c) {
    if (c < 256) return is_itself(c) ? (int)c : -1;
    if (c >= 256 + 68) return -1;
    uint32_t n = c - 256;
    for (unsigned b = 0; b < 256; b++)
        if (!is_itself(b) && n-- == 0) return (int)b;
    return -1;
}

uint32_t lb_char_of_byte(uint8_t b) {
    uint32_t n = 0;
    if (is_itself(b)) return b;
    for (unsigned i = 0; i < b; i++) n += !is_itself(i);
    return 256 + n;
}
