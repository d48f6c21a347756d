/* fuzz.h: what the fuzz targets share. A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput; its corpus is
 * corpus/NAME/. It is linked with libFuzzer (`make fuzz`, where clang has it) or with driver.c. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "engine/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The input as a buffer of exactly its size, so that a byte too far is seen; one reference. */
lb_buffer *fuzz_buffer(const uint8_t *data, size_t bytes);
/* Reads every byte and makes sure that the reading is not optimized away. */
void fuzz_touch(const void *data, size_t bytes);
/* Ends the program as a crash with this text: for what must hold. */
#define FUZZ_REQUIRE(condition)                                                       \
    do {                                                                              \
        if (!(condition)) fuzz_fail(__FILE__, __LINE__, #condition);                  \
    } while (0)
void fuzz_fail(const char *file, int line, const char *condition);

/* Opens nothing outside of the input: reads all of a model file, its tensors and its metadata. */
struct lb_model_file;
void fuzz_model_file(const struct lb_model_file *f);
