/* gguf.h: GGUF files, versions 2 and 3, little-endian, in one file or split into NAME-00001-of-0000N.gguf.
 *
 * "GGUF", u32 version, i64 tensors, i64 metadata entries; each entry: key (u64 length, bytes), i32 type, value; each
 * tensor: name, u32 rank, i64 sizes (the contiguous one first), i32 type, u64 offset from the start of the data; then
 * padding to general.alignment (32), and the data, each tensor padded to it. */
#pragma once
#include "model_file.h"

#define LB_GGUF_ALIGNMENT 32u
#define LB_GGUF_MAX_RANK 4
#define LB_GGUF_NAME_MAX 63u     /* bytes of a tensor's name */

/* The type with GGUF's number, or that a tensor of ours is stored as; NULL = there is none. */
const lb_file_type *lb_gguf_type(int64_t id);
const lb_file_type *lb_gguf_type_of(const lb_tensor *t);
/* By name, as GGUF writes it or in small letters ("q4_k", "bf16"). */
const lb_file_type *lb_gguf_type_named(const char *name);
/* The i-th type; NULL after the last. */
const lb_file_type *lb_gguf_type_at(int i);

lb_status lb_gguf_open(const char *path, lb_device *d, lb_model_file **out);
/* The same of memory (retained): one part, which must not ask for others. */
lb_status lb_gguf_open_memory(const char *name, lb_buffer *b, lb_model_file **out);
