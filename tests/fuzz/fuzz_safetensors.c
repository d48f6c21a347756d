/* fuzz_safetensors.c: the safetensors reader. */
#include "engine/io/safetensors.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    lb_buffer *b = fuzz_buffer(data, bytes);
    lb_model_file *f = NULL;
    lb_status s = lb_safetensors_open_memory("fuzz.safetensors", b, &f);
    FUZZ_REQUIRE(s == LB_OK || (s == LB_EIO && !f && lb_error()[0]));
    if (!s) {
        uint64_t end = 0;
        for (uint32_t i = 0; i < f->count; i++) end += f->tensors[i].bytes;
        FUZZ_REQUIRE(end <= bytes);                    /* no two tensors share a byte */
        fuzz_model_file(f);
    }
    lb_model_file_close(f);
    lb_buffer_release(b);
    return 0;
}
