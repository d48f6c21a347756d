/* arena.c: memory in pieces, freed at once. */
#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../status.h"

#define CHUNK ((size_t)16 << 10)

struct lb_arena_chunk {
    struct lb_arena_chunk *before;
    size_t used, bytes;
    _Alignas(8) char data[];
};

void *lb_arena_take(lb_arena *a, size_t bytes) {
    struct lb_arena_chunk *c = a->last;
    if (bytes > SIZE_MAX / 2) goto none;
    bytes = (bytes + 7) / 8 * 8;
    if (!c || bytes > c->bytes - c->used) {
        size_t room = bytes > CHUNK / 4 ? bytes : CHUNK;
        if (!(c = malloc(sizeof *c + room))) goto none;
        c->used = 0;
        c->bytes = room;
        c->before = a->last;
        a->last = c;
    }
    c->used += bytes;
    return c->data + c->used - bytes;
none:
    lb_fail(LB_ENOMEM, "not enough memory for %zu bytes", bytes);
    return NULL;
}

char *lb_arena_text(lb_arena *a, const void *text, size_t bytes) {
    char *p = bytes < SIZE_MAX ? lb_arena_take(a, bytes + 1) : NULL;
    if (!p) return NULL;
    if (bytes) memcpy(p, text, bytes);
    p[bytes] = 0;
    return p;
}

void lb_arena_done(lb_arena *a) {
    while (a->last) {
        struct lb_arena_chunk *before = a->last->before;
        free(a->last);
        a->last = before;
    }
}
