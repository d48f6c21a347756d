/* json.h: JSON read strictly, value by value, without building anything: for files that may be hostile.
 *
 * libcjson, which reads JSON for scripts, cannot serve here: it takes duplicate keys, ends strings at \u0000, lets bad
 * UTF-8 through, turns all numbers into doubles, and builds a tree tens of times as large as the text. This reader
 * takes the grammar of RFC 8259 and nothing else, UTF-8 and paired surrogates, and nesting up to 64; it takes no
 * memory.
 *
 * After an error every call gives nothing, loops end, and `status` keeps the code; lb_error() has the place.
 *     lb_json_object(&j);
 *     while (lb_json_key(&j, &key)) { if (lb_json_is(&j, &key, "x")) v = lb_json_u64(&j); else lb_json_skip(&j); }
 *     s = lb_json_end(&j);  */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "../status.h"

#define LB_JSON_DEPTH 64

typedef enum lb_json_kind { LB_JSON_NONE, LB_JSON_NULL, LB_JSON_BOOL, LB_JSON_NUMBER, LB_JSON_STRING, LB_JSON_ARRAY,
                            LB_JSON_OBJECT } lb_json_kind;

typedef struct lb_json {
    const char *file;         /* for messages; as is the place of the text in it */
    uint64_t place;
    const char *text;
    size_t bytes, at;
    int depth;
    uint64_t is_object, has_items;    /* a bit for each depth */
    lb_status status;
} lb_json;

/* A string as it stands between its quotes. */
typedef struct lb_json_text { const char *raw; size_t bytes; bool escaped; } lb_json_text;

void lb_json_begin(lb_json *j, const char *file, uint64_t place, const char *text, size_t bytes);
/* LB_OK, or the first error; only white space may be left. */
lb_status lb_json_end(lb_json *j);
/* Records an error at the place of the reader. */
lb_status lb_json_fail(lb_json *j, const char *fmt, ...) LB_PRINTF(2, 3);

lb_json_kind lb_json_peek(lb_json *j);         /* of the next value; LB_JSON_NONE after an error */
void lb_json_object(lb_json *j);
bool lb_json_key(lb_json *j, lb_json_text *key);    /* false at the object's end, which is then passed */
void lb_json_array(lb_json *j);
bool lb_json_item(lb_json *j);                      /* false at the array's end, which is then passed */
bool lb_json_string(lb_json *j, lb_json_text *text);
bool lb_json_bool(lb_json *j);
void lb_json_null(lb_json *j);
double lb_json_number(lb_json *j);
uint64_t lb_json_u64(lb_json *j);              /* digits only: no sign, fraction or exponent; up to 2^64 - 1 */
void lb_json_skip(lb_json *j);                 /* one value, whatever it is; its grammar is checked */

/* Compares with an ASCII name, escapes undone. */
bool lb_json_is(const lb_json_text *t, const char *name);
/* The text with escapes undone, terminated, from the arena; zero bytes can be in it. NULL: no memory. */
char *lb_json_unescape(const lb_json_text *t, lb_arena *a, size_t *bytes);

/* Checks a whole text: grammar, at most `values` values, and no key twice in an object. */
lb_status lb_json_check(const char *file, const char *text, size_t bytes, uint64_t values);
