/* fuzz_json.c: the strict JSON reader: texts that the check takes are read by the other calls too, and by libcjson. */
#include <cjson/cJSON.h>
#include <string.h>

#include "engine/io/json.h"
#include "fuzz.h"

static void walk(lb_json *j, lb_arena *a) {
    lb_json_text text;
    size_t n;
    switch (lb_json_peek(j)) {
    case LB_JSON_OBJECT:
        lb_json_object(j);
        while (lb_json_key(j, &text)) {
            char *key = lb_json_unescape(&text, a, &n);
            if (n < 40 && strlen(key) == n) FUZZ_REQUIRE(lb_json_is(&text, key));
            walk(j, a);
        }
        break;
    case LB_JSON_ARRAY:
        lb_json_array(j);
        while (lb_json_item(j)) walk(j, a);
        break;
    case LB_JSON_STRING:
        lb_json_string(j, &text);
        {
            char *p = lb_json_unescape(&text, a, &n);
            fuzz_touch(p, n);
        }
        break;
    case LB_JSON_NUMBER: lb_json_number(j); break;
    case LB_JSON_BOOL: lb_json_bool(j); break;
    default: lb_json_null(j); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    lb_buffer *b = fuzz_buffer(data, bytes);
    const char *text = b->data;
    lb_status s = lb_json_check("fuzz.json", text, bytes, 100000);
    FUZZ_REQUIRE(s == LB_OK || (s == LB_EIO && lb_error()[0]));
    if (!s) {
        lb_arena a = { 0 };
        lb_json j;
        lb_json_begin(&j, "fuzz.json", 0, text, bytes);
        walk(&j, &a);
        FUZZ_REQUIRE(!lb_json_end(&j) || strstr(lb_error(), "63 are the most"));
        lb_arena_done(&a);
        cJSON *tree = cJSON_ParseWithLength(text, bytes);
        FUZZ_REQUIRE(tree != NULL || memchr(text, '\\', bytes) != NULL);   /* it refuses \u0000 */
        cJSON_Delete(tree);
    }
    lb_buffer_release(b);
    return 0;
}
