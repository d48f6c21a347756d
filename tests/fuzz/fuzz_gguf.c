/* fuzz_gguf.c: the GGUF reader. */
#include <stdlib.h>

#include "engine/io/gguf.h"
#include "engine/text/tokenizer.h"
#include "fuzz.h"

static void try_tokenizer(const lb_model_file *f) {
    static const char text[] = "Ab \xc3\xa9\xe2\x96\x81 12\n<s> x\xf0\x9f\x98\x80";
    lb_tokenizer *t;
    int32_t *ids;
    char *back;
    size_t count, bytes;
    if (lb_tokenizer_from_gguf(f, &t)) return;
    if (lb_tokenizer_encode(t, text, sizeof text - 1, true, &ids, &count) == LB_OK) {
        for (size_t i = 0; i < count; i++) FUZZ_REQUIRE(ids[i] >= 0 && ids[i] < lb_tokenizer_size(t));
        if (lb_tokenizer_decode(t, ids, count, false, &back, &bytes) == LB_OK) free(back);
        free(ids);
    }
    lb_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    lb_buffer *b = fuzz_buffer(data, bytes);
    lb_model_file *f = NULL;
    lb_status s = lb_gguf_open_memory("fuzz.gguf", b, &f);
    FUZZ_REQUIRE(s == LB_OK || (s == LB_EIO && !f && lb_error()[0]));
    if (!s) {
        fuzz_model_file(f);
        try_tokenizer(f);
    }
    lb_model_file_close(f);
    lb_buffer_release(b);
    return 0;
}
