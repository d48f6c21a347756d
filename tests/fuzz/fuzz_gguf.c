/* fuzz_gguf.c: the GGUF reader. */
#include "engine/io/gguf.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    lb_buffer *b = fuzz_buffer(data, bytes);
    lb_model_file *f = NULL;
    lb_status s = lb_gguf_open_memory("fuzz.gguf", b, &f);
    FUZZ_REQUIRE(s == LB_OK || (s == LB_EIO && !f && lb_error()[0]));
    if (!s) fuzz_model_file(f);
    lb_model_file_close(f);
    lb_buffer_release(b);
    return 0;
}
