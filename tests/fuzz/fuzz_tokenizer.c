/* fuzz_tokenizer.c: a tokenizer.json, up to the first zero byte, and a text, after it, that is encoded and decoded with
 * it. */
#include <stdlib.h>
#include <string.h>

#include "engine/text/tokenizer.h"
#include "fuzz.h"

/* What is decoded piece by piece must be UTF-8 or nothing; and no call may fail but for want of memory or an endless
 * pattern. */
static void stream(const lb_tokenizer *t, const int32_t *ids, size_t n) {
    lb_text_stream *s;
    const char *text;
    size_t bytes;
    FUZZ_REQUIRE(lb_text_stream_new(t, false, &s) == LB_OK);
    for (size_t i = 0; i < n; i++) {
        if (lb_text_stream_add(s, ids[i], &text, &bytes)) break;
        fuzz_touch(text, bytes);
    }
    if (!lb_text_stream_finish(s, &text, &bytes)) fuzz_touch(text, bytes);
    lb_text_stream_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    const uint8_t *zero = bytes ? memchr(data, 0, bytes) : NULL;
    size_t json = zero ? (size_t)(zero - data) : bytes, n = zero ? bytes - json - 1 : 0, count = 0, length;
    lb_buffer *b = fuzz_buffer(data, json), *text = fuzz_buffer(zero ? zero + 1 : data, n < 4096 ? n : 4096);
    lb_tokenizer *t = NULL;
    int32_t *ids = NULL;
    char *back = NULL;
    lb_status s = lb_tokenizer_from_json("fuzz.json", b->data, json, &t);
    FUZZ_REQUIRE((s == LB_OK) == (t != NULL) && (s == LB_OK || s == LB_EIO || s == LB_EUNSUPPORTED)
                 && (!s || lb_error()[0]));
    if (t) {
        s = lb_tokenizer_encode(t, text->data, text->size_bytes, true, &ids, &count);
        FUZZ_REQUIRE(s == LB_OK || s == LB_EINVAL || s == LB_EIO);
        for (size_t i = 0; i < count; i++) FUZZ_REQUIRE(ids[i] >= 0 && ids[i] < lb_tokenizer_size(t));
        if (!s && lb_tokenizer_decode(t, ids, count, true, &back, &length) == LB_OK) fuzz_touch(back, length);
        if (!s) stream(t, ids, count < 64 ? count : 64);
        free(back);
        free(ids);
        lb_tokenizer_free(t);
    }
    lb_buffer_release(b);
    lb_buffer_release(text);
    return 0;
}
