/* encode.c: a text's tokens: added tokens cut out, the rest normalized, divided into words, and these by the model. */
#include "parts.h"

typedef struct encoder { const lb_tokenizer *t; lb_grow *ids; } encoder;

static lb_status encode_word(void *ctx, const char *word, size_t bytes) {
    encoder *e = ctx;
    return e->t->model == LB_MODEL_UNIGRAM ? lb_unigram_encode(e->t, word, bytes, e->ids)
                                           : lb_bpe_encode(e->t, word, bytes, e->ids);
}

/* ---- added tokens ----------------------------------------------------------------------------------------------- */

/* The character that ends at `at`. */
static uint32_t char_before(const char *text, size_t at) {
    size_t n;
    do at--;
    while (at && ((uint8_t)text[at] & 0xc0) == 0x80);
    return lb_utf8_take(text + at, &n);
}

static bool stands_alone(const char *text, size_t bytes, size_t start, size_t end) {
    size_t n;
    if (start && lb_is_word(char_before(text, start))) return false;
    return end >= bytes || !lb_is_word(lb_utf8_take(text + end, &n));
}

/* Spaces that a token takes with it on its sides; not those before `floor`. */
static void widen(const lb_added *a, const char *text, size_t bytes, size_t floor, size_t *start, size_t *end) {
    size_t n;
    while (a->lstrip && *start > floor && lb_is_space(char_before(text, *start))) {
        do --*start;
        while (*start > floor && ((uint8_t)text[*start] & 0xc0) == 0x80);
    }
    while (a->rstrip && *end < bytes && lb_is_space(lb_utf8_take(text + *end, &n))) *end += n;
}

/* Calls fn for what is between the added tokens of a tree; their numbers go to the result in place. */
typedef lb_status (*between_fn)(const encoder *e, const char *text, size_t bytes, bool first);

static lb_status without_added(const encoder *e, const lb_trie *trie, const char *text, size_t bytes, bool first,
                               between_fn fn) {
    size_t done = 0, length;
    lb_status s = LB_OK;
    for (size_t i = 0; i < bytes && trie->count && !s;) {
        int32_t k = trie->first[(uint8_t)text[i]] ? lb_trie_longest(trie, text + i, bytes - i, &length) : -1;
        if (k < 0) {
            i++;
            continue;
        }
        const lb_added *a = &e->t->added[k];
        size_t start = i, end = i + length;
        i = end;
        if (start < done || (a->single_word && !stands_alone(text, bytes, start, end))) continue;
        widen(a, text, bytes, done, &start, &end);
        if (start > done) s = fn(e, text + done, start - done, first && done == 0);
        lb_grow_put(e->ids, &a->id, sizeof a->id);
        done = end;
    }
    if (!s && done < bytes) s = fn(e, text + done, bytes - done, first && done == 0);
    return s;
}

static lb_status encode_normalized(const encoder *e, const char *text, size_t bytes, bool first) {
    return lb_split(e->t, text, bytes, first, encode_word, (void *)(uintptr_t)e);
}

static lb_status encode_raw(const encoder *e, const char *text, size_t bytes, bool first) {
    lb_grow g = { 0 };
    lb_status s = LB_OK;
    if (e->t->normalizers.count) {
        s = lb_normalize(e->t, text, bytes, &g);
        text = g.at;
        bytes = g.bytes;
    }
    if (!s && bytes) s = without_added(e, &e->t->normalized, text, bytes, first, encode_normalized);
    free(g.at);
    return s;
}

lb_status lb_tokenizer_add_added(lb_tokenizer *t) {
    for (size_t i = 0; i < t->added_count; i++) {
        lb_added *a = &t->added[i];
        if (a->normalized && t->normalizers.count) {
            lb_grow g = { 0 };
            lb_status s = lb_normalize(t, a->text.at, a->text.bytes, &g);
            a->text = (lb_span){ s ? NULL : lb_arena_text(&t->arena, g.at, g.bytes), g.bytes };
            free(g.at);
            if (s || !a->text.at) return s ? s : LB_ENOMEM;
        }
        if (!lb_trie_add(a->normalized ? &t->normalized : &t->raw, a->text, (int32_t)i))
            return lb_fail(LB_ENOMEM, "not enough memory for the tokenizer of %s", t->name);
    }
    return LB_OK;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

lb_status lb_tokenizer_encode(const lb_tokenizer *t, const char *text, size_t bytes, bool special, int32_t **ids,
                              size_t *count) {
    lb_grow g = { 0 };
    encoder e = { t, &g };
    *ids = NULL;
    *count = 0;
    lb_status s = lb_utf8_check("the text", text, bytes);
    if (!s && special) lb_grow_put(&g, t->before, t->before_count * sizeof *t->before);
    if (!s) s = without_added(&e, &t->raw, text, bytes, true, encode_raw);
    if (!s && special) lb_grow_put(&g, t->after, t->after_count * sizeof *t->after);
    if (!s && !g.at) lb_grow_take(&g, 0);
    if (!s && g.failed) s = lb_fail(LB_ENOMEM, "not enough memory for the tokens of a text of %zu bytes", bytes);
    if (s) {
        free(g.at);
        return s;
    }
    *ids = (int32_t *)(void *)g.at;
    *count = g.bytes / sizeof **ids;
    return LB_OK;
}
