/* bpe.c: byte pair encoding of a word: of all neighbours that can be joined, those with the least rank first (the
 * leftmost of equals), through a heap, so that a text without words takes n log n. */
#include "parts.h"

typedef struct symbol {
    int32_t before, after;    /* neighbours, -1 = none */
    uint32_t start, bytes;    /* in the word; bytes 0 = joined to the one before */
    int32_t id;
} symbol;

typedef struct candidate { double rank; uint32_t at; int32_t id; } candidate;

typedef struct work {
    const lb_tokenizer *t;
    const char *word;
    symbol *list;
    candidate *heap;
    size_t count, heap_count, heap_room;
    bool failed;
    symbol small_list[64];
    candidate small_heap[192];
} work;

static bool before(const candidate *a, const candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(work *w, candidate c) {
    if (w->heap_count == w->heap_room) {
        candidate *more = malloc(w->heap_room * 2 * sizeof *more);
        if (!more) {
            w->failed = true;
            return;
        }
        memcpy(more, w->heap, w->heap_count * sizeof *more);
        if (w->heap != w->small_heap) free(w->heap);
        w->heap = more;
        w->heap_room *= 2;
    }
    size_t i = w->heap_count++;
    while (i && before(&c, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = c;
}

static candidate pop(work *w) {
    candidate top = w->heap[0], last = w->heap[--w->heap_count];
    size_t i = 0;
    for (size_t k = 1; k < w->heap_count; k = 2 * i + 1) {
        if (k + 1 < w->heap_count && before(&w->heap[k + 1], &w->heap[k])) k++;
        if (!before(&w->heap[k], &last)) break;
        w->heap[i] = w->heap[k];
        i = k;
    }
    w->heap[i] = last;
    return top;
}

/* What symbol `at` and the one after it become; false = nothing. */
static bool joint(const work *w, int32_t at, candidate *c) {
    const symbol *a = &w->list[at];
    if (a->after < 0) return false;
    const symbol *b = &w->list[a->after];
    c->at = (uint32_t)at;
    if (w->t->model == LB_MODEL_SPM) {
        c->id = lb_tokenizer_find(w->t, &w->t->by_key, w->t->keys, w->word + a->start, a->bytes + b->bytes);
        c->rank = c->id < 0 ? 0 : -w->t->scores[c->id];
        return c->id >= 0;
    }
    const lb_merge *m = lb_tokenizer_merge(w->t, a->id, b->id);
    if (!m) return false;
    c->id = (int32_t)m->id - 1;
    c->rank = m->rank;
    return true;
}

static void offer(work *w, int32_t at) {
    candidate c;
    if (at >= 0 && joint(w, at, &c)) push(w, c);
}

static void join_all(work *w) {
    candidate now;
    for (size_t i = 0; i + 1 < w->count; i++) offer(w, (int32_t)i);
    while (w->heap_count && !w->failed) {
        candidate c = pop(w);
        symbol *a = &w->list[c.at];
        if (!a->bytes || !joint(w, (int32_t)c.at, &now) || now.id != c.id) continue;      /* out of date */
        symbol *b = &w->list[a->after];
        a->bytes += b->bytes;
        a->id = c.id;
        a->after = b->after;
        b->bytes = 0;
        if (a->after >= 0) w->list[a->after].before = (int32_t)c.at;
        offer(w, a->before);
        offer(w, (int32_t)c.at);
    }
}

static void add(work *w, size_t start, size_t bytes, int32_t id) {
    w->list[w->count] = (symbol){ (int32_t)w->count - 1, (int32_t)w->count + 1, (uint32_t)start, (uint32_t)bytes, id };
    w->count++;
}

/* The characters of the word (bytes, in byte-level vocabularies) as symbols; without unk_token unknown ones vanish, as
 * they do elsewhere. */
static void divide(work *w, size_t bytes) {
    const lb_tokenizer *t = w->t;
    bool after_unknown = false;
    for (size_t i = 0, n; i < bytes; i += n) {
        n = t->byte_level ? 1 : lb_utf8_length(w->word + i, bytes - i);
        int32_t id = t->byte_level ? t->byte_ids[(uint8_t)w->word[i]]
                                   : lb_tokenizer_find(t, &t->by_key, t->keys, w->word + i, n);
        bool bytes_known = id < 0 && t->byte_fallback && !t->byte_level;
        for (size_t k = 0; k < n && bytes_known; k++) bytes_known = t->byte_ids[(uint8_t)w->word[i + k]] >= 0;
        if (id >= 0 || t->model == LB_MODEL_SPM) {
            add(w, i, n, id);
        } else if (bytes_known) {
            for (size_t k = 0; k < n; k++) add(w, i + k, 1, t->byte_ids[(uint8_t)w->word[i + k]]);
        } else if (t->unk >= 0) {
            if (after_unknown && t->fuse_unk) w->list[w->count - 1].bytes += (uint32_t)n;
            else add(w, i, n, t->unk);
            after_unknown = true;
            continue;
        }
        after_unknown = false;
    }
    if (w->count) w->list[w->count - 1].after = -1;
}

bool lb_put_byte_tokens(const lb_tokenizer *t, const char *text, size_t bytes, lb_grow *out) {
    for (size_t i = 0; i < bytes; i++)
        if (t->byte_ids[(uint8_t)text[i]] < 0) return false;
    for (size_t i = 0; i < bytes; i++) lb_grow_put(out, &t->byte_ids[(uint8_t)text[i]], sizeof(int32_t));
    return true;
}

static void put(const work *w, const symbol *s, lb_grow *out) {
    const lb_tokenizer *t = w->t;
    int32_t id = s->id;
    if (t->model == LB_MODEL_SPM) {
        id = lb_tokenizer_find(t, &t->by_key, t->keys, w->word + s->start, s->bytes);
        if (id < 0 && lb_put_byte_tokens(t, w->word + s->start, s->bytes, out)) return;
        if (id < 0) id = t->unk;
        if (id < 0) return;
    }
    lb_grow_put(out, &id, sizeof id);
}

lb_status lb_bpe_encode(const lb_tokenizer *t, const char *word, size_t bytes, lb_grow *out) {
    if (!bytes) return LB_OK;
    if (t->ignore_merges) {
        int32_t id = lb_tokenizer_find(t, &t->by_key, t->keys, word, bytes);
        if (id >= 0) {
            lb_grow_put(out, &id, sizeof id);
            return LB_OK;
        }
    }
    if (bytes > INT32_MAX / 2)
        return lb_fail(LB_EINVAL, "a text of %zu bytes is too long to be divided at once", bytes);
    work w;
    w.t = t;
    w.word = word;
    w.count = w.heap_count = 0;
    w.failed = false;
    w.list = bytes <= 64 ? w.small_list : malloc(bytes * sizeof *w.list);
    w.heap = w.small_heap;
    w.heap_room = sizeof w.small_heap / sizeof *w.small_heap;
    if (!w.list) return lb_fail(LB_ENOMEM, "not enough memory to divide a text of %zu bytes", bytes);
    divide(&w, bytes);
    join_all(&w);
    for (size_t i = 0; i < w.count; i++)
        if (w.list[i].bytes) put(&w, &w.list[i], out);
    if (w.list != w.small_list) free(w.list);
    if (w.heap != w.small_heap) free(w.heap);
    return w.failed ? lb_fail(LB_ENOMEM, "not enough memory to divide a text of %zu bytes", bytes) : LB_OK;
}
