/* fuzz_index.c: the index of sharded safetensors. What is taken must stay in the folder. */
#include <stdlib.h>
#include <string.h>

#include "engine/io/safetensors.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    lb_buffer *b = fuzz_buffer(data, bytes);
    lb_arena arena = { 0 };
    lb_shard_entry *list = NULL;
    uint32_t count = 0;
    lb_status s = lb_safetensors_read_index("model.safetensors.index.json", b->data, bytes, &arena, &list, &count);
    FUZZ_REQUIRE(s == LB_OK || (s == LB_EIO && lb_error()[0]));
    for (uint32_t i = 0; i < count && !s; i++) {
        FUZZ_REQUIRE(list[i].file[0] && !strchr(list[i].file, '/') && strcmp(list[i].file, ".."));
        fuzz_touch(list[i].name, strlen(list[i].name));
    }
    free(list);
    lb_arena_done(&arena);
    lb_buffer_release(b);
    return 0;
}
