/* normalize.c: normalizers: Unicode's forms, replacing, prepending, stripping, SentencePiece's tables. */
#include <utf8proc.h>

#include "parts.h"

static bool is_ascii(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (text[i] & 0x80) return false;
    return true;
}

static lb_status unicode_form(const lb_step *s, const char *text, size_t bytes, lb_grow *out) {
    int options = UTF8PROC_STABLE;
    utf8proc_uint8_t *result = NULL;
    if (is_ascii(text, bytes)) {
        lb_grow_put(out, text, bytes);
        return LB_OK;
    }
    options |= s->kind == LB_STEP_NFC || s->kind == LB_STEP_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (s->kind == LB_STEP_NFKC || s->kind == LB_STEP_NFKD) options |= UTF8PROC_COMPAT;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &result,
                                      (utf8proc_option_t)options);
    if (n < 0) return lb_fail(LB_ENOMEM, "a text of %zu bytes cannot be normalized: %s", bytes, utf8proc_errmsg(n));
    lb_grow_put(out, result, (size_t)n);
    free(result);
    return LB_OK;
}

static void put_char(lb_grow *out, uint32_t c) {
    char p[4];
    lb_grow_put(out, p, lb_utf8_put(c, p));
}

static void by_character(const lb_step *s, const char *text, size_t bytes, lb_grow *out) {
    for (size_t i = 0, n; i < bytes; i += n) {
        uint32_t c = lb_utf8_take(text + i, &n);
        if (s->kind == LB_STEP_STRIP_ACCENTS) {
            utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
            if (k < UTF8PROC_CATEGORY_MN || k > UTF8PROC_CATEGORY_ME) lb_grow_put(out, text + i, n);
        } else if (c == 0x130) {
            lb_grow_text(out, "i\xcc\x87");            /* the one letter that becomes two */
        } else {
            put_char(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
        }
    }
}

static void strip(const lb_step *s, const char *text, size_t bytes, lb_grow *out) {
    size_t from = 0, to = 0, n;
    for (size_t i = 0; i < bytes; i += n)
        if (!lb_is_space(lb_utf8_take(text + i, &n))) to = i + n;
    while (s->left && from < to && lb_is_space(lb_utf8_take(text + from, &n))) from += n;
    if (!to && s->left) from = bytes;                  /* nothing but space */
    if (!s->right) to = bytes;
    if (to > from) lb_grow_put(out, text + from, to - from);
}

static lb_status replace(const lb_step *s, const char *text, size_t bytes, lb_grow *out) {
    size_t at = 0, from = 0, start, end;
    lb_status st;
    while (from <= bytes && lb_pattern_next(s->pattern, text, bytes, from, &start, &end, &st)) {
        lb_grow_put(out, text + at, start - at);
        lb_grow_put(out, s->text.at, s->text.bytes);
        at = from = end;
        if (end == start) from += end < bytes ? lb_utf8_length(text + end, bytes - end) : 1;
    }
    if (from <= bytes && st) return st;
    lb_grow_put(out, text + at, bytes - at);
    return LB_OK;
}

/* ---- SentencePiece's tables: u32 bytes of a double-array tree, the tree, zero-terminated replacements ----------- */

static uint32_t unit_at(const lb_span *map, uint64_t i, uint32_t bytes) {
    uint32_t u = 0x80000000u | 0x1ff;                  /* a unit that nothing leads to */
    if (i < bytes / 4) memcpy(&u, map->at + 4 + i * 4, 4);
    return u;
}

static uint64_t offset_of(uint32_t unit) { return (uint64_t)(unit >> 10) << ((unit & 1u << 9) >> 6); }

/* The replacement of the shortest beginning of the text that has one. */
static bool mapped(const lb_span *map, const char *text, size_t bytes, lb_span *to) {
    uint32_t size;
    memcpy(&size, map->at, 4);
    uint64_t at = offset_of(unit_at(map, 0, size));
    for (size_t i = 0; i < bytes && text[i]; i++) {
        at ^= (uint8_t)text[i];
        uint32_t unit = unit_at(map, at, size);
        if ((unit & (1u << 31 | 0xff)) != (uint8_t)text[i]) return false;
        at ^= offset_of(unit);
        if (!(unit >> 8 & 1)) continue;
        uint64_t begin = 4 + (uint64_t)size + (unit_at(map, at, size) & 0x7fffffff);
        if (begin >= map->bytes) return false;
        const char *end = memchr(map->at + begin, 0, map->bytes - begin);
        if (!end) return false;
        *to = (lb_span){ map->at + begin, (size_t)(end - (map->at + begin)) };
        for (size_t k = 0, n; k < to->bytes; k += n)
            if (!(n = lb_utf8_length(to->at + k, to->bytes - k))) return false;
        return true;
    }
    return false;
}

/* Bytes of the grapheme at text. */
static size_t grapheme(const char *text, size_t bytes) {
    utf8proc_int32_t state = 0;
    size_t n, at;
    uint32_t before = lb_utf8_take(text, &at);
    while (at < bytes) {
        uint32_t c = lb_utf8_take(text + at, &n);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)c, &state)) break;
        at += n;
        before = c;
    }
    return at;
}

static void charsmap(const lb_step *s, const char *text, size_t bytes, lb_grow *out) {
    lb_span to;
    for (size_t i = 0, n; i < bytes; i += n) {
        n = grapheme(text + i, bytes - i);
        if (n < 6 && mapped(&s->text, text + i, n, &to)) {
            lb_grow_put(out, to.at, to.bytes);
            continue;
        }
        for (size_t k = i, m; k < i + n; k += m) {
            m = lb_utf8_length(text + k, bytes - k);
            if (mapped(&s->text, text + k, m, &to)) lb_grow_put(out, to.at, to.bytes);
            else lb_grow_put(out, text + k, m);
        }
    }
}

static lb_status apply(const lb_step *s, const char *text, size_t bytes, lb_grow *out) {
    switch (s->kind) {
    case LB_STEP_NFC: case LB_STEP_NFD: case LB_STEP_NFKC: case LB_STEP_NFKD: return unicode_form(s, text, bytes, out);
    case LB_STEP_LOWERCASE: case LB_STEP_STRIP_ACCENTS: by_character(s, text, bytes, out); return LB_OK;
    case LB_STEP_STRIP: strip(s, text, bytes, out); return LB_OK;
    case LB_STEP_PREPEND:
        if (bytes) lb_grow_put(out, s->text.at, s->text.bytes);
        lb_grow_put(out, text, bytes);
        return LB_OK;
    case LB_STEP_REPLACE: return replace(s, text, bytes, out);
    case LB_STEP_CHARSMAP: charsmap(s, text, bytes, out); return LB_OK;
    default: return lb_fail(LB_EINTERNAL, "normalizer %d", (int)s->kind);
    }
}

lb_status lb_normalize(const lb_tokenizer *t, const char *text, size_t bytes, lb_grow *out) {
    lb_grow work[2] = { { 0 }, { 0 } };
    lb_status s = LB_OK;
    for (size_t i = 0; i < t->normalizers.count && !s; i++) {
        lb_grow *to = i + 1 == t->normalizers.count ? out : &work[i % 2];
        if (to != out) to->bytes = 0;
        s = apply(&t->normalizers.list[i], text, bytes, to);
        if (!s && to->failed) s = lb_fail(LB_ENOMEM, "not enough memory to normalize a text");
        text = to->at;
        bytes = to->bytes;
    }
    if (!t->normalizers.count) lb_grow_put(out, text, bytes);
    free(work[0].at);
    free(work[1].at);
    return s ? s : out->failed ? lb_fail(LB_ENOMEM, "not enough memory to normalize a text") : LB_OK;
}
