/* json.c: JSON read strictly, value by value. */
#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

void lb_json_begin(lb_json *j, const char *file, uint64_t place, const char *text, size_t bytes) {
    *j = (lb_json){ .file = file, .place = place, .text = text, .bytes = bytes };
}

lb_status lb_json_fail(lb_json *j, const char *fmt, ...) {
    char text[600];
    if (j->status) return j->status;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return j->status =
               lb_fail(LB_EIO, "%s: JSON, byte %llu: %s", j->file, (unsigned long long)(j->place + j->at), text);
}

/* The next byte; 0 at the end (a zero byte in the text is no JSON either). */
static char here(const lb_json *j) { return j->at < j->bytes ? j->text[j->at] : 0; }

static char after_space(lb_json *j) {
    while (j->at < j->bytes && (here(j) == ' ' || here(j) == '\n' || here(j) == '\t' || here(j) == '\r')) j->at++;
    return j->status ? 0 : here(j);
}

static void expected(lb_json *j, const char *what) {
    char c = here(j);
    if (j->at >= j->bytes) lb_json_fail(j, "the text ends where %s was expected", what);
    else if (c >= 0x20 && c < 0x7f) lb_json_fail(j, "%s was expected, got '%c'", what, c);
    else lb_json_fail(j, "%s was expected, got byte %02x", what, (unsigned char)c);
}

lb_json_kind lb_json_peek(lb_json *j) {
    char c = after_space(j);
    if (j->status) return LB_JSON_NONE;
    switch (c) {
    case '{': return LB_JSON_OBJECT;
    case '[': return LB_JSON_ARRAY;
    case '"': return LB_JSON_STRING;
    case 't': case 'f': return LB_JSON_BOOL;
    case 'n': return LB_JSON_NULL;
    default:
        if (c == '-' || (c >= '0' && c <= '9')) return LB_JSON_NUMBER;
        expected(j, "a value");
        return LB_JSON_NONE;
    }
}

lb_status lb_json_end(lb_json *j) {
    after_space(j);
    if (!j->status && j->at < j->bytes) expected(j, "the end of the text");
    return j->status;
}

/* ---- objects and arrays ----------------------------------------------------------------------------------------- */

static void enter(lb_json *j, bool object) {
    if (after_space(j) != (object ? '{' : '[')) {
        expected(j, object ? "an object, {...}," : "an array, [...],");
        return;
    }
    if (j->depth == LB_JSON_DEPTH) {
        lb_json_fail(j, "nested more than %d deep", LB_JSON_DEPTH);
        return;
    }
    uint64_t bit = (uint64_t)1 << j->depth++;
    j->is_object = object ? j->is_object | bit : j->is_object & ~bit;
    j->has_items &= ~bit;
    j->at++;
}

void lb_json_object(lb_json *j) { enter(j, true); }
void lb_json_array(lb_json *j) { enter(j, false); }

/* Before a member or item: false at the end, which is passed. */
static bool another(lb_json *j, bool object) {
    char c = after_space(j), close = object ? '}' : ']';
    if (j->status) return false;
    if (!j->depth || !(j->is_object >> (j->depth - 1) & 1) != !object) {
        lb_json_fail(j, "read out of order");
        return false;
    }
    uint64_t bit = (uint64_t)1 << (j->depth - 1);
    if (c == close) {
        j->at++;
        j->depth--;
        return false;
    }
    if (j->has_items & bit) {
        if (c != ',') {
            expected(j, object ? "',' or '}'" : "',' or ']'");
            return false;
        }
        j->at++;
        after_space(j);
    }
    j->has_items |= bit;
    return true;
}

bool lb_json_key(lb_json *j, lb_json_text *key) {
    if (!another(j, true) || !lb_json_string(j, key)) return false;
    if (after_space(j) == ':') {
        j->at++;
        return true;
    }
    expected(j, "':'");
    return false;
}

bool lb_json_item(lb_json *j) { return another(j, false); }

/* ---- strings ---------------------------------------------------------------------------------------------------- */

static int hex4(const char *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = p[i], d = c >= '0' && c <= '9'                 ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                               : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* Passes the escape at j->at. */
static bool escape(lb_json *j) {
    const char *p = j->text + j->at;
    size_t n = j->bytes - j->at;
    if (n >= 2 && strchr("\"\\/bfnrt", p[1]) && p[1]) {
        j->at += 2;
        return true;
    }
    int code = n >= 6 && p[1] == 'u' ? hex4(p + 2) : -1;
    if (code >= 0xd800 && code < 0xdc00 && n >= 12 && p[6] == '\\' && p[7] == 'u') {
        int low = hex4(p + 8);
        if (low >= 0xdc00 && low < 0xe000) {
            j->at += 12;
            return true;
        }
    }
    if (code >= 0 && (code < 0xd800 || code >= 0xe000)) {
        j->at += 6;
        return true;
    }
    lb_json_fail(j, code >= 0 ? "half of a surrogate pair in a string" : "an unknown escape in a string");
    return false;
}

bool lb_json_string(lb_json *j, lb_json_text *text) {
    *text = (lb_json_text){ 0 };
    if (after_space(j) != '"') {
        if (!j->status) expected(j, "a string");
        return false;
    }
    size_t start = ++j->at;
    while (j->at < j->bytes && here(j) != '"') {
        unsigned char c = (unsigned char)here(j);
        if (c == '\\') {
            text->escaped = true;
            if (!escape(j)) return false;
            continue;
        }
        size_t n = c < 0x20 ? 0 : c < 0x80 ? 1 : lb_utf8_length(j->text + j->at, j->bytes - j->at);
        if (!n) {
            lb_json_fail(j, c < 0x20 ? "a control character in a string" : "a string is not UTF-8");
            return false;
        }
        j->at += n;
    }
    if (j->at >= j->bytes) {
        lb_json_fail(j, "the text ends inside a string");
        return false;
    }
    text->raw = j->text + start;
    text->bytes = j->at++ - start;
    return true;
}

static char *put_utf8(char *to, uint32_t c) {
    if (c < 0x80) *to++ = (char)c;
    else if (c < 0x800) *to++ = (char)(0xc0 | c >> 6), *to++ = (char)(0x80 | (c & 63));
    else if (c < 0x10000)
        *to++ = (char)(0xe0 | c >> 12), *to++ = (char)(0x80 | (c >> 6 & 63)), *to++ = (char)(0x80 | (c & 63));
    else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

/* Writes the text with escapes undone, which never makes it longer. The string was checked when it was read. */
static size_t undo(const lb_json_text *t, char *out) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char *p = out;
    for (size_t i = 0; i < t->bytes;) {
        if (t->raw[i] != '\\') {
            *p++ = t->raw[i++];
        } else if (t->raw[i + 1] == 'u') {
            uint32_t c = (uint32_t)hex4(t->raw + i + 2);
            i += 6;
            if (c >= 0xd800 && c < 0xdc00) {
                c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)hex4(t->raw + i + 2) - 0xdc00);
                i += 6;
            }
            p = put_utf8(p, c);
        } else {
            const char *known = strchr(from, t->raw[i + 1]);
            *p++ = known ? to[known - from] : t->raw[i + 1];
            i += 2;
        }
    }
    return (size_t)(p - out);
}

char *lb_json_unescape(const lb_json_text *t, lb_arena *a, size_t *bytes) {
    if (!t->escaped) {
        *bytes = t->bytes;
        return lb_arena_text(a, t->raw, t->bytes);
    }
    char *p = lb_arena_take(a, t->bytes + 1);
    if (!p) return NULL;
    *bytes = undo(t, p);
    p[*bytes] = 0;
    return p;
}

bool lb_json_is(const lb_json_text *t, const char *name) {
    char small[256];
    size_t n = strlen(name);
    if (!t->escaped) return t->bytes == n && memcmp(t->raw, name, n) == 0;
    if (t->bytes > sizeof small) return false;         /* our names are short; six bytes for one at most */
    return undo(t, small) == n && memcmp(small, name, n) == 0;
}

/* ---- numbers and words ------------------------------------------------------------------------------------------ */

static size_t digits(lb_json *j) {
    size_t start = j->at;
    while (here(j) >= '0' && here(j) <= '9') j->at++;
    return j->at - start;
}

/* Passes a number; *whole: it has neither sign nor fraction nor exponent. */
static bool number(lb_json *j, bool *whole) {
    *whole = true;
    if (lb_json_peek(j) != LB_JSON_NUMBER) {
        if (!j->status) expected(j, "a number");
        return false;
    }
    if (here(j) == '-') {
        j->at++;
        *whole = false;
    }
    bool zero = here(j) == '0';
    size_t n = digits(j);
    if (!n || (zero && n > 1)) {
        lb_json_fail(j, n ? "a number begins with 0" : "a number without digits");
        return false;
    }
    if (here(j) == '.') {
        j->at++;
        *whole = false;
        if (!digits(j)) expected(j, "a digit");
    }
    if (here(j) == 'e' || here(j) == 'E') {
        j->at++;
        *whole = false;
        if (here(j) == '+' || here(j) == '-') j->at++;
        if (!digits(j)) expected(j, "a digit");
    }
    return !j->status;
}

double lb_json_number(lb_json *j) {
    bool whole;
    char text[64];
    after_space(j);
    size_t start = j->at;
    if (!number(j, &whole)) return 0;
    size_t n = j->at - start;
    if (n >= sizeof text) {
        j->at = start;
        lb_json_fail(j, "a number of %zu characters; 63 are the most", n);
        return 0;
    }
    memcpy(text, j->text + start, n);
    text[n] = 0;
    return strtod(text, NULL);
}

uint64_t lb_json_u64(lb_json *j) {
    bool whole;
    uint64_t v = 0;
    after_space(j);
    size_t start = j->at;
    if (!number(j, &whole)) return 0;
    for (size_t i = start; i < j->at && whole; i++)
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(j->text[i] - '0'), &v))
            whole = false;
    if (whole) return v;
    j->at = start;
    lb_json_fail(j, "a whole number from 0 to 2^64 - 1, written with digits only, was expected");
    return 0;
}

static bool word(lb_json *j, const char *text) {
    size_t n = strlen(text);
    after_space(j);
    if (j->status || j->bytes - j->at < n || memcmp(j->text + j->at, text, n) != 0) return false;
    j->at += n;
    return true;
}

bool lb_json_bool(lb_json *j) {
    if (word(j, "true")) return true;
    if (!word(j, "false")) expected(j, "true or false");
    return false;
}

void lb_json_null(lb_json *j) {
    if (!word(j, "null")) expected(j, "null");
}

/* Passes what is no object and no array. */
static void skip_plain(lb_json *j, lb_json_kind kind) {
    lb_json_text text;
    bool whole;
    switch (kind) {
    case LB_JSON_STRING: lb_json_string(j, &text); break;
    case LB_JSON_NUMBER: number(j, &whole); break;
    case LB_JSON_BOOL: lb_json_bool(j); break;
    case LB_JSON_NULL: lb_json_null(j); break;
    default: break;
    }
}

void lb_json_skip(lb_json *j) {
    int floor = j->depth;
    lb_json_text key;
    do {
        lb_json_kind kind = lb_json_peek(j);
        if (kind == LB_JSON_OBJECT) lb_json_object(j);
        else if (kind == LB_JSON_ARRAY) lb_json_array(j);
        else skip_plain(j, kind);
        while (j->depth > floor && !j->status)
            if (j->is_object >> (j->depth - 1) & 1 ? lb_json_key(j, &key) : lb_json_item(j)) break;
    } while (j->depth > floor && !j->status);
}
