/* json_check.c: a whole JSON text checked: grammar, number of values, no key twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"

/* Keys of the objects that are open, in one list; each object's begin at starts[depth]. */
typedef struct keys {
    lb_json_text *list;
    size_t count, room, starts[LB_JSON_DEPTH + 1];
    lb_arena arena;
} keys;

static int by_text(const void *a, const void *b) {
    const lb_json_text *x = a, *y = b;
    size_t n = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = n ? memcmp(x->raw, y->raw, n) : 0;
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static lb_status add(keys *k, lb_json_text key) {
    if (key.escaped) {                 /* "a" and "\u0061" are the same */
        if (!(key.raw = lb_json_unescape(&key, &k->arena, &key.bytes))) return LB_ENOMEM;
    }
    if (k->count == k->room) {
        size_t room = k->room ? k->room * 2 : 64;
        lb_json_text *more = realloc(k->list, room * sizeof *more);
        if (!more) return lb_fail(LB_ENOMEM, "not enough memory for the keys of a JSON text");
        k->list = more;
        k->room = room;
    }
    k->list[k->count++] = key;
    return LB_OK;
}

/* The object at the top is complete. */
static void close_object(lb_json *j, keys *k, size_t start) {
    size_t n = k->count - start;
    if (n < 2) {
        k->count = start;
        return;
    }
    lb_json_text *list = k->list + start;
    qsort(list, n, sizeof *list, by_text);
    for (size_t i = 1; i < n; i++)
        if (by_text(&list[i - 1], &list[i]) == 0)
            lb_json_fail(j, "an object that ends here has the key \"%s\" twice", lb_shown(list[i].raw, list[i].bytes));
    k->count = start;
}

/* Begins a value, or passes it if it has no parts. */
static void value(lb_json *j, keys *k) {
    lb_json_kind kind = lb_json_peek(j);
    if (kind == LB_JSON_OBJECT) lb_json_object(j);
    else if (kind == LB_JSON_ARRAY) lb_json_array(j);
    else lb_json_skip(j);
    if (kind == LB_JSON_OBJECT || kind == LB_JSON_ARRAY) k->starts[j->depth] = k->count;
}

lb_status lb_json_check(const char *file, const char *text, size_t bytes, uint64_t values) {
    lb_json j;
    keys k = { 0 };
    lb_json_begin(&j, file, 0, text, bytes);
    lb_status s = LB_OK;
    value(&j, &k);
    while (j.depth && !j.status && !s) {
        bool object = j.is_object >> (j.depth - 1) & 1;
        size_t start = k.starts[j.depth];
        lb_json_text key;
        if (object ? lb_json_key(&j, &key) : lb_json_item(&j)) {
            if (object) s = add(&k, key);
            if (!values--) lb_json_fail(&j, "there are more values than are taken");
            else value(&j, &k);
        } else if (object && !j.status) {
            close_object(&j, &k, start);
        }
    }
    if (!s) s = lb_json_end(&j);
    free(k.list);
    lb_arena_done(&k.arena);
    return s;
}
