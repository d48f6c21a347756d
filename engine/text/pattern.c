/* pattern.c: the regular expressions of tokenizers, through PCRE2. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "../io/file.h"
#include "parts.h"

struct lb_pattern {
    pcre2_code *code;         /* NULL: `text` is looked for as it is */
    bool jit;
    size_t bytes;
    char text[];
};

/* White space as Unicode and Oniguruma, which these patterns were written for, have it: PCRE2's \s has U+180E too. */
#define SPACES "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

/* What Oniguruma calls a word's characters: PCRE2's \w lacks marks and connectors. The last six are no letters of
 * Unicode, but of its table of Latin 1 (tried on every character up to U+1FFFF). */
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* Oniguruma's text as PCRE2's. `out` has room for 100 bytes for each. */
static lb_status translate(const char *text, size_t bytes, lb_grow *out) {
    bool in_class = false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i], next = i + 1 < bytes ? text[i + 1] : 0;
        if (c == '\\' && next == 's') {
            lb_grow_text(out, in_class ? SPACES : "[" SPACES "]");
            i++;
        } else if (c == '\\' && next == 'S' && !in_class) {
            lb_grow_text(out, "[^" SPACES "]");
            i++;
        } else if (c == '\\' && next == 'w') {
            lb_grow_text(out, in_class ? WORD : "[" WORD "]");
            i++;
        } else if (c == '\\' && next == 'W' && !in_class) {
            lb_grow_text(out, "[^" WORD "]");
            i++;
        } else if (c == '\\' && (next == 'h' || next == 'H' || ((next == 'S' || next == 'W') && in_class))) {
            return lb_fail(LB_EUNSUPPORTED, "the pattern %s uses \\%c%s, which is not supported", lb_shown(text, bytes),
                           next, in_class ? " inside [...]" : "");
        } else if (c == '&' && next == '&' && in_class) {
            return lb_fail(LB_EUNSUPPORTED, "the pattern %s uses &&, which is not supported", lb_shown(text, bytes));
        } else if (c == '\\' && next) {
            lb_grow_put(out, text + i, 2);
            i++;
        } else {
            if (c == '[' && !in_class) {
                in_class = true;
                lb_grow_put(out, &c, 1);
                if (next == '^') lb_grow_put(out, &text[++i], 1);
                if (i + 1 < bytes && text[i + 1] == ']') lb_grow_put(out, &text[++i], 1);
                continue;
            }
            if (c == '[' && in_class) lb_grow_text(out, "\\");     /* or PCRE2 might see [: */
            if (c == ']') in_class = false;
            lb_grow_put(out, &c, 1);
        }
    }
    return out->failed ? lb_fail(LB_ENOMEM, "not enough memory for a pattern") : LB_OK;
}

static lb_status compile(lb_pattern *p) {
    lb_grow g = { 0 };
    int code;
    PCRE2_SIZE at;
    if (p->bytes > 100000) return lb_fail(LB_EUNSUPPORTED, "a pattern of %zu bytes is too long", p->bytes);
    lb_status s = translate(p->text, p->bytes, &g);
    if (!s) {
        p->code = pcre2_compile((PCRE2_SPTR)(g.at ? g.at : ""), g.bytes,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
        if (!p->code) {
            PCRE2_UCHAR why[128];
            pcre2_get_error_message(code, why, sizeof why);
            s = lb_fail(LB_EIO, "the pattern %s is wrong: %s", lb_shown(p->text, p->bytes), (const char *)why);
        }
    }
    if (!s) p->jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    free(g.at);
    return s;
}

lb_status lb_pattern_new(const char *text, size_t bytes, bool literal, lb_pattern **out) {
    *out = calloc(1, sizeof **out + bytes + 1);
    if (!*out) return lb_fail(LB_ENOMEM, "not enough memory for a pattern");
    (*out)->bytes = bytes;
    if (bytes) memcpy((*out)->text, text, bytes);
    lb_status s = literal ? LB_OK : compile(*out);
    if (!s) return LB_OK;
    lb_pattern_free(*out);
    *out = NULL;
    return s;
}

void lb_pattern_free(lb_pattern *p) {
    if (!p) return;
    if (p->code) pcre2_code_free(p->code);
    free(p);
}

static bool next_literal(const lb_pattern *p, const char *text, size_t bytes, size_t from, size_t *start, size_t *end) {
    if (!p->bytes || from >= bytes) return false;
    const char *at = memmem(text + from, bytes - from, p->text, p->bytes);
    if (!at) return false;
    *start = (size_t)(at - text);
    *end = *start + p->bytes;
    return true;
}

/* Kept by each thread; freed at its end by nobody else, so that it is small. */
static _Thread_local pcre2_match_data *found;
static _Thread_local pcre2_match_context *limits;

static bool prepare(void) {
    if (!found) found = pcre2_match_data_create(1, NULL);
    if (!limits && (limits = pcre2_match_context_create(NULL))) {
        pcre2_set_match_limit(limits, 10000000);           /* a second or so: beyond it a pattern never ends */
        pcre2_set_heap_limit(limits, 64u << 10);           /* KiB */
    }
    return found && limits;
}

bool lb_pattern_next(const lb_pattern *p, const char *text, size_t bytes, size_t from, size_t *start, size_t *end,
                     lb_status *s) {
    *s = LB_OK;
    if (!p->code) return next_literal(p, text, bytes, from, start, end);
    if (!prepare()) return *s = lb_fail(LB_ENOMEM, "not enough memory for a pattern"), false;
    int n = pcre2_match(p->code, (PCRE2_SPTR)text, bytes, from, PCRE2_NO_UTF_CHECK, found, limits);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(p->code, (PCRE2_SPTR)text, bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, found, limits);
    if (n == PCRE2_ERROR_NOMATCH) return false;
    if (n < 0) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(n, why, sizeof why);
        *s = lb_fail(LB_EIO, "the pattern %s cannot be applied: %s", lb_shown(p->text, p->bytes), (const char *)why);
        return false;
    }
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(found);
    *start = ends[0];
    *end = ends[1];
    return ends[1] >= ends[0];
}
