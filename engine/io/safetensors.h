/* safetensors.h: safetensors files, single and sharded with an index.
 *
 * u64 N, N bytes of JSON, data. The JSON maps names to { dtype, shape, data_offsets: [begin, end] }, offsets counted
 * from the start of the data, which they cover without holes and overlaps; "__metadata__" maps strings to strings. */
#pragma once
#include "model_file.h"

#define LB_SAFETENSORS_HEAD_MAX 100000000u

/* By name, as safetensors writes it, or a dtype of ours ("f32", "bf16"); NULL = there is none. */
const lb_file_type *lb_safetensors_type_named(const char *name);
const lb_file_type *lb_safetensors_type_at(int i);    /* NULL after the last */

lb_status lb_safetensors_open(const char *path, lb_device *d, lb_model_file **out);
/* The index of a sharded model: { "weight_map": { tensor: file } }, files in the folder of the index. */
lb_status lb_safetensors_open_index(const char *path, lb_device *d, lb_model_file **out);
/* A single file in memory (retained). */
lb_status lb_safetensors_open_memory(const char *name, lb_buffer *b, lb_model_file **out);

/* Quantized tensors: U8 [bytes] in the file, with metadata "luabench.quantized:NAME" = "RECIPE DIM DIM ...". After the
 * index of names: gives them their recipes and dims. A recipe that this build lacks leaves a U8 tensor. */
#define LB_SAFETENSORS_QUANTIZED "luabench.quantized:"
lb_status lb_safetensors_apply_recipes(lb_model_file *f);

/* A weight_map's names and files, both from `arena`; *list is malloc'd. The files' names have no folder in them. */
typedef struct lb_shard_entry { const char *name, *file; } lb_shard_entry;
lb_status lb_safetensors_read_index(const char *path, const char *text, size_t bytes, lb_arena *arena,
                                    lb_shard_entry **list, uint32_t *count);
