/* grow.h: bytes that are put together in memory before they are written. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct lb_grow { char *at; size_t bytes, room; bool failed; } lb_grow;   /* all zero = empty; free(at) */

/* Room for n more bytes, or NULL: then `failed` is set, and stays. */
static inline char *lb_grow_take(lb_grow *g, size_t n) {
    if (g->failed || n > SIZE_MAX / 4 - g->bytes) {
        g->failed = true;
        return NULL;
    }
    if (g->bytes + n > g->room || !g->at) {
        size_t room = g->room * 2 > g->bytes + n ? g->room * 2 : g->bytes + n + 64;
        char *more = realloc(g->at, room);
        if (!more) {
            g->failed = true;
            return NULL;
        }
        g->at = more;
        g->room = room;
    }
    g->bytes += n;
    return g->at + g->bytes - n;
}

static inline void lb_grow_put(lb_grow *g, const void *data, size_t n) {
    char *p = lb_grow_take(g, n);
    if (p && n) memcpy(p, data, n);
}

static inline void lb_grow_text(lb_grow *g, const char *text) { lb_grow_put(g, text, strlen(text)); }
