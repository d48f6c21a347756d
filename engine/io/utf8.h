/* utf8.h: is it UTF-8? */
#pragma once
#include <stddef.h>

/* Bytes of the valid sequence at `text`, of which n bytes are there; 0 = none. */
static inline size_t lb_utf8_length(const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text;
    size_t len = !n ? 0 : p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (!len || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;           /* too long a form */
    if (p[0] == 0xed && p[1] > 0x9f) return 0;           /* surrogates */
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
    return len;
}
