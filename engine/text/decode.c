/* decode.c: tokens to text, all at once or as they come. */
#include "parts.h"

/* Texts of tokens: a list of spans into `text`, as offsets, while it grows. */
typedef struct piece { size_t at, bytes; } piece;
typedef struct pieces { lb_grow text, list; } pieces;

static size_t count_of(const pieces *p) { return p->list.bytes / sizeof(piece); }
static lb_span span_of(const pieces *p, size_t i) {
    piece x;
    memcpy(&x, p->list.at + i * sizeof x, sizeof x);
    return (lb_span){ p->text.at ? p->text.at + x.at : "", x.bytes };
}
/* Ends the piece that began at `from` of the text. */
static void end_piece(pieces *p, size_t from) {
    piece x = { from, p->text.bytes - from };
    lb_grow_put(&p->list, &x, sizeof x);
}

/* ---- decoders: each makes new pieces of the old ----------------------------------------------------------------- */

/* "<0x0A>": the byte; else -1. */
static int byte_token(lb_span s) {
    int v = 0;
    if (s.bytes != 6 || memcmp(s.at, "<0x", 3) != 0 || s.at[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        int c = s.at[i], d = c >= '0' && c <= '9'                 ? c - '0'
                             : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                                  : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* Runs of byte tokens: their text if it is UTF-8, else U+FFFD for each. */
static void byte_fallback(const pieces *in, pieces *out) {
    size_t n = count_of(in);
    for (size_t i = 0; i < n;) {
        size_t from = out->text.bytes, run = 0;
        bool good = true;
        for (int b; i + run < n && (b = byte_token(span_of(in, i + run))) >= 0; run++) {
            char c = (char)b;
            lb_grow_put(&out->text, &c, 1);
        }
        if (!run) {
            lb_span s = span_of(in, i++);
            lb_grow_put(&out->text, s.at, s.bytes);
            end_piece(out, from);
            continue;
        }
        if (out->text.failed) return;
        for (size_t k = from, m; k < out->text.bytes && good; k += m)
            good = (m = lb_utf8_length(out->text.at + k, out->text.bytes - k)) > 0;
        if (!good) {
            out->text.bytes = from;
            for (size_t k = 0; k < run; k++) {
                size_t begin = out->text.bytes;
                lb_grow_put(&out->text, "\xef\xbf\xbd", 3);
                end_piece(out, begin);
            }
        } else {
            end_piece(out, from);
        }
        i += run;
    }
}

/* The bytes of all, as one piece. A token with a character that stands for no byte gives its own. */
static void byte_level(const pieces *in, pieces *out) {
    lb_grow raw = { 0 };
    for (size_t i = 0; i < count_of(in); i++) {
        lb_span s = span_of(in, i);
        size_t from = raw.bytes;
        for (size_t k = 0, n; k < s.bytes; k += n) {
            int b = lb_byte_of_char(lb_utf8_take(s.at + k, &n));
            char c = (char)b;
            if (b < 0) {
                raw.bytes = from;
                lb_grow_put(&raw, s.at, s.bytes);
                break;
            }
            lb_grow_put(&raw, &c, 1);
        }
    }
    if (raw.bytes) lb_utf8_put_lossy(&out->text, raw.at, raw.bytes);
    out->text.failed |= raw.failed;
    free(raw.at);
    end_piece(out, 0);
}

static void fuse(const pieces *in, pieces *out) {
    for (size_t i = 0; i < count_of(in); i++) {
        lb_span s = span_of(in, i);
        lb_grow_put(&out->text, s.at, s.bytes);
    }
    end_piece(out, 0);
}

static bool at_end(lb_span s, size_t bytes, lb_span what, bool end) {
    return bytes >= what.bytes && memcmp(s.at + (end ? bytes - what.bytes : 0), what.at, what.bytes) == 0;
}

static void strip(const lb_step *step, const pieces *in, pieces *out) {
    for (size_t i = 0; i < count_of(in); i++) {
        lb_span s = span_of(in, i);
        size_t from = out->text.bytes;
        for (size_t k = 0; k < step->start && at_end(s, s.bytes, step->text, false); k++) {
            s.at += step->text.bytes;
            s.bytes -= step->text.bytes;
        }
        for (size_t k = 0; k < step->stop && at_end(s, s.bytes, step->text, true); k++) s.bytes -= step->text.bytes;
        lb_grow_put(&out->text, s.at, s.bytes);
        end_piece(out, from);
    }
}

static lb_status replace(const lb_step *step, const pieces *in, pieces *out) {
    for (size_t i = 0; i < count_of(in); i++) {
        lb_span s = span_of(in, i);
        size_t from = out->text.bytes, at = 0, search = 0, start, end;
        lb_status st = LB_OK;
        while (search <= s.bytes && lb_pattern_next(step->pattern, s.at, s.bytes, search, &start, &end, &st)) {
            lb_grow_put(&out->text, s.at + at, start - at);
            lb_grow_put(&out->text, step->text.at, step->text.bytes);
            at = search = end;
            if (end == start) search += end < s.bytes ? lb_utf8_length(s.at + end, s.bytes - end) : 1;
        }
        if (st) return st;
        lb_grow_put(&out->text, s.at + at, s.bytes - at);
        end_piece(out, from);
    }
    return LB_OK;
}

static void metaspace(const lb_step *step, const pieces *in, pieces *out) {
    for (size_t i = 0; i < count_of(in); i++) {
        lb_span s = span_of(in, i);
        size_t from = out->text.bytes;
        for (size_t k = 0, n; k < s.bytes; k += n) {
            lb_utf8_take(s.at + k, &n);
            bool is = n == step->text.bytes && memcmp(s.at + k, step->text.at, n) == 0;
            if (!is) lb_grow_put(&out->text, s.at + k, n);
            else if (i || step->prepend == LB_PREPEND_NEVER) lb_grow_text(&out->text, " ");
        }
        end_piece(out, from);
    }
}

static lb_status apply(const lb_step *step, const pieces *in, pieces *out) {
    switch (step->kind) {
    case LB_STEP_BYTE_FALLBACK: byte_fallback(in, out); return LB_OK;
    case LB_STEP_BYTE_LEVEL: byte_level(in, out); return LB_OK;
    case LB_STEP_FUSE: fuse(in, out); return LB_OK;
    case LB_STEP_STRIP: strip(step, in, out); return LB_OK;
    case LB_STEP_METASPACE: metaspace(step, in, out); return LB_OK;
    case LB_STEP_REPLACE: return replace(step, in, out);
    default: return lb_fail(LB_EINTERNAL, "decoder %d", (int)step->kind);
    }
}

static void free_pieces(pieces *p) {
    free(p->text.at);
    free(p->list.at);
    *p = (pieces){ 0 };
}

lb_status lb_tokenizer_decode(const lb_tokenizer *t, const int32_t *ids, size_t count, bool skip_special, char **text,
                              size_t *bytes) {
    pieces now = { 0 }, next = { 0 };
    lb_status s = LB_OK;
    *text = NULL;
    for (size_t i = 0; i < count; i++) { /* numbers of no token give nothing: models may have more than the tokenizer */
        if (ids[i] < 0 || (uint32_t)ids[i] >= t->size || !t->tokens[ids[i]].at
            || (skip_special && t->is_special[ids[i]]))
            continue;
        size_t from = now.text.bytes;
        if (!t->decoders.count && count_of(&now)) lb_grow_text(&now.text, " ");
        lb_grow_put(&now.text, t->tokens[ids[i]].at, t->tokens[ids[i]].bytes);
        end_piece(&now, from);
    }
    for (size_t i = 0; i < t->decoders.count && !s && !now.text.failed && !now.list.failed; i++) {
        s = apply(&t->decoders.list[i], &now, &next);
        free_pieces(&now);
        now = next;
        next = (pieces){ 0 };
    }
    lb_grow_put(&now.text, "", 1); /* what was left out of pieces is not in the text: they are all of it */
    if (!s && (now.text.failed || now.list.failed))
        s = lb_fail(LB_ENOMEM, "not enough memory for the text of %zu tokens", count);
    free(now.list.at);
    if (s) {
        free(now.text.at);
        return s;
    }
    *text = now.text.at;
    *bytes = now.text.bytes - 1;
    return LB_OK;
}

/* ---- as they come ----------------------------------------------------------------------------------------------- */

/* No character has so many tokens: what still waits then is no UTF-8. */
#define MOST_WAITING 64u

/* ids[0, read): their text was given. The rest waits for more. */
struct lb_text_stream {
    const lb_tokenizer *t;
    bool skip_special;
    lb_grow ids;
    size_t read;
    char *text;                /* of all ids */
    size_t bytes;
};

lb_status lb_text_stream_new(const lb_tokenizer *t, bool skip_special, lb_text_stream **out) {
    *out = calloc(1, sizeof **out);
    if (!*out) return lb_fail(LB_ENOMEM, "not enough memory for a stream of text");
    (*out)->t = t;
    (*out)->skip_special = skip_special;
    return LB_OK;
}

void lb_text_stream_free(lb_text_stream *s) {
    if (!s) return;
    free(s->ids.at);
    free(s->text);
    free(s);
}

static size_t count_ids(const lb_text_stream *s) { return s->ids.bytes / sizeof(int32_t); }

/* Decodes the ids from `from` on in place of the last text. */
static lb_status decode_from(lb_text_stream *s, size_t from, size_t to) {
    free(s->text);
    s->text = NULL;
    return lb_tokenizer_decode(s->t, (const int32_t *)(void *)s->ids.at + from, to - from, s->skip_special, &s->text,
                               &s->bytes);
}

/* How much of the text was given before, if what was given still stands there. */
static lb_status give(lb_text_stream *s, bool all, const char **text, size_t *bytes) {
    char *before = NULL;
    size_t before_bytes = 0;
    *text = "";
    *bytes = 0;
    lb_status st =
        lb_tokenizer_decode(s->t, (const int32_t *)(void *)s->ids.at, s->read, s->skip_special, &before, &before_bytes);
    if (!st) st = decode_from(s, 0, count_ids(s));
    if (st) {
        free(before);
        return st;
    }
    size_t same = 0;
    while (same < before_bytes && same < s->bytes && before[same] == s->text[same]) same++;
    while (same && same < s->bytes && ((uint8_t)s->text[same] & 0xc0) == 0x80) same--; /* not inside of a character */
    free(before);
    bool open = s->bytes >= 3 && memcmp(s->text + s->bytes - 3, "\xef\xbf\xbd", 3) == 0;
    if (s->bytes <= same || (open && !all && count_ids(s) - s->read < MOST_WAITING)) return LB_OK;
    *text = s->text + same;
    *bytes = s->bytes - same;
    /* What was waiting is now what was given; what was given before that is no longer needed. */
    size_t n = count_ids(s);
    memmove(s->ids.at, s->ids.at + s->read * sizeof(int32_t), (n - s->read) * sizeof(int32_t));
    s->ids.bytes = (n - s->read) * sizeof(int32_t);
    s->read = n - s->read;
    return LB_OK;
}

lb_status lb_text_stream_add(lb_text_stream *s, int32_t id, const char **text, size_t *bytes) {
    *text = "";
    *bytes = 0;
    lb_grow_put(&s->ids, &id, sizeof id);
    if (s->ids.failed) return lb_fail(LB_ENOMEM, "not enough memory for a stream of text");
    return give(s, false, text, bytes);
}

lb_status lb_text_stream_finish(lb_text_stream *s, const char **text, size_t *bytes) {
    *text = "";
    *bytes = 0;
    if (!s->ids.bytes) return LB_OK;
    lb_status st = give(s, true, text, bytes);
    if (!st) s->read = count_ids(s);
    return st;
}
