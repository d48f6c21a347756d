/* split.c: pre-tokenizers: a text cut into words, each step cutting what those before it left. */
#include "parts.h"

typedef struct cutter {
    const lb_tokenizer *t;
    size_t step;              /* the next one */
    bool first;               /* the piece begins where the whole text begins */
    lb_word_fn fn;
    void *ctx;
} cutter;

static lb_status cut(const cutter *c, const char *text, size_t bytes);

/* The next match of a step, as a pattern or a class of characters, at or after `from`. */
static bool next_match(const lb_step *step, const char *text, size_t bytes, size_t from, size_t *start, size_t *end,
                       lb_status *s) {
    *s = LB_OK;
    if (step->pattern) return lb_pattern_next(step->pattern, text, bytes, from, start, end, s);
    for (size_t i = from, n; i < bytes; i += n) {
        uint32_t c = lb_utf8_take(text + i, &n);
        bool is = step->kind == LB_STEP_DIGITS ? lb_is_numeric(c)
                  : step->kind == LB_STEP_PUNCTUATION ? lb_is_punctuation(c) : lb_is_space(c);
        if (!is) continue;
        *start = i;
        *end = i + n;
        return true;
    }
    return false;
}

/* A piece that is not yet handed on: it may grow. */
typedef struct pending { size_t start, end; bool there, match; } pending;

typedef struct joiner {
    cutter next;
    const char *text;
    lb_behavior behavior;
    bool invert;
    pending p;
    size_t done;              /* where the last piece handed on ended */
} joiner;

static lb_status hand_on(joiner *j, size_t start, size_t end) {
    if (end == start) return LB_OK;
    cutter c = j->next;
    c.first = c.first && start == 0;
    return cut(&c, j->text + start, end - start);
}

static lb_status flush(joiner *j) {
    bool there = j->p.there;
    j->p.there = false;
    return there ? hand_on(j, j->p.start, j->p.end) : LB_OK;
}

/* The next piece between matches, or a match. */
static lb_status piece(joiner *j, size_t start, size_t end, bool match) {
    match ^= j->invert;
    lb_status s = LB_OK;
    pending *p = &j->p;
    bool grow = false;
    switch (j->behavior) {
    case LB_ISOLATED: return hand_on(j, start, end);
    case LB_REMOVED: return match ? LB_OK : hand_on(j, start, end);
    case LB_CONTIGUOUS: grow = p->there && p->match == match; break;
    case LB_MERGED_WITH_PREVIOUS: grow = p->there && match && !p->match; break;
    case LB_MERGED_WITH_NEXT: grow = p->there && p->match && !match; break;
    }
    if (grow) {
        p->end = end;
    } else {
        s = flush(j);
        *p = (pending){ start, end, true, match };
    }
    p->match = match;
    return s;
}

static lb_status split(const cutter *next, const lb_step *step, lb_behavior behavior, const char *text, size_t bytes) {
    joiner j = { .next = *next, .text = text, .behavior = behavior, .invert = step->invert };
    size_t at = 0, from = 0, start, end, last = SIZE_MAX;
    lb_status s = LB_OK, found = LB_OK;
    while (!s && from <= bytes && next_match(step, text, bytes, from, &start, &end, &found)) {
        if (start == end && end == last) {             /* nothing, where a match ended: no match */
            from = end < bytes ? end + lb_utf8_length(text + end, bytes - end) : bytes + 1;
            last = SIZE_MAX;
            if (from > bytes) break;
            continue;
        }
        if (start > at) s = piece(&j, at, start, false);
        if (!s) s = piece(&j, start, end, true);
        at = from = last = end;
    }
    if (found) return found;
    if (!s && at < bytes) s = piece(&j, at, bytes, false);
    return s ? s : flush(&j);
}

/* ---- steps that change the text --------------------------------------------------------------------------------- */

static lb_status byte_level(const cutter *next, const lb_step *step, const char *text, size_t bytes) {
    lb_grow g = { 0 };
    if (step->flag && bytes && text[0] != ' ') {
        lb_grow_text(&g, " ");
        lb_grow_put(&g, text, bytes);
        if (g.failed) {
            free(g.at);
            return lb_fail(LB_ENOMEM, "not enough memory to divide a text");
        }
        text = g.at;
        bytes = g.bytes;
    }
    lb_status s = step->pattern ? split(next, step, LB_ISOLATED, text, bytes) : cut(next, text, bytes);
    free(g.at);
    return s;
}

static bool begins_with(const char *text, size_t bytes, lb_span s) {
    return bytes >= s.bytes && memcmp(text, s.at, s.bytes) == 0;
}

static lb_status metaspace(const cutter *next, const lb_step *step, bool first, const char *text, size_t bytes) {
    lb_grow g = { 0 };
    bool begins = bytes && (text[0] == ' ' || begins_with(text, bytes, step->text));
    if (!begins && (step->prepend == LB_PREPEND_ALWAYS || (step->prepend == LB_PREPEND_FIRST && first)))
        lb_grow_put(&g, step->text.at, step->text.bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == ' ') lb_grow_put(&g, step->text.at, step->text.bytes);
        else lb_grow_put(&g, text + i, 1);
    }
    lb_status s = g.failed ? lb_fail(LB_ENOMEM, "not enough memory to divide a text") : LB_OK;
    if (!s) s = step->flag ? split(next, step, LB_MERGED_WITH_NEXT, g.at, g.bytes) : cut(next, g.at, g.bytes);
    free(g.at);
    return s;
}

static lb_status cut(const cutter *c, const char *text, size_t bytes) {
    if (!bytes) return LB_OK;
    if (c->step == c->t->splitters.count) return c->fn(c->ctx, text, bytes);
    const lb_step *step = &c->t->splitters.list[c->step];
    cutter next = *c;
    next.step++;
    switch (step->kind) {
    case LB_STEP_BYTE_LEVEL: return byte_level(&next, step, text, bytes);
    case LB_STEP_METASPACE: return metaspace(&next, step, c->first, text, bytes);
    case LB_STEP_DIGITS: return split(&next, step, step->flag ? LB_ISOLATED : LB_CONTIGUOUS, text, bytes);
    case LB_STEP_SPLIT: case LB_STEP_PUNCTUATION: case LB_STEP_WHITESPACE:
        return split(&next, step, step->behavior, text, bytes);
    default: return lb_fail(LB_EINTERNAL, "pre-tokenizer %d", (int)step->kind);
    }
}

lb_status lb_split(const lb_tokenizer *t, const char *text, size_t bytes, bool first, lb_word_fn fn, void *ctx) {
    cutter c = { t, 0, first, fn, ctx };
    return cut(&c, text, bytes);
}
