/* model_writer.h: writing model files: first what will be in them, then the tensors, in any order, one at a time, so
 * that a model need not fit into memory. Nothing stands under the final names before all of it is written. */
#pragma once
#include "file.h"
#include "model_file.h"

typedef struct lb_model_writer lb_model_writer;

typedef struct lb_writer_options {
    uint32_t version;        /* of GGUF: 2 or 3; 0 = 3 */
    uint64_t split_bytes;    /* a new part before a tensor would take a part's data beyond this; 0 = one part */
} lb_writer_options;

/* Of `tensors`, name, type, rank and dims say what will come. Metadata keys must differ. Parts are named
 * STEM-00001-of-0000N.gguf if there are several. general.alignment of the metadata is obeyed; split.* is ours. */
lb_status lb_gguf_create(const char *path, const lb_meta *metas, uint32_t meta_count, const lb_stored *tensors,
                         uint32_t count, lb_writer_options o, lb_model_writer **out);
/* Metadata must be strings. Parts are named STEM-00001-of-0000N.safetensors, with STEM.safetensors.index.json beside
 * them, if there are several. */
lb_status lb_safetensors_create(const char *path, const lb_meta *metas, uint32_t meta_count, const lb_stored *tensors,
                                uint32_t count, lb_writer_options o, lb_model_writer **out);

/* Stores tensor i of the list; its type and sizes must be those announced. */
lb_status lb_model_writer_add(lb_model_writer *w, uint32_t i, const lb_tensor *t);
/* The same from stored bytes as they are (u8, dense). */
lb_status lb_model_writer_add_bytes(lb_model_writer *w, uint32_t i, const lb_tensor *bytes);
/* Puts the files in place (commit; every tensor must have been added), or leaves nothing behind. Frees the writer. */
lb_status lb_model_writer_finish(lb_model_writer *w, bool commit);

/* ---- for the formats: a file that is planned --------------------------------------------------------------------- */
struct lb_model_writer {
    char *path;
    lb_stored *tensors;         /* part, offset and bytes filled in; names in the arena */
    bool *done;
    uint32_t count;
    lb_outfile *parts;
    char **part_paths;
    int part_count;
    char *index_path, *index;   /* a text that is written last, or NULL */
    lb_arena arena;
};
/* Copies the list, checks names and types, computes bytes, and divides it into parts by split_bytes; offsets begin at 0
 * in each part and are rounded up to `align`. `ending` is ".gguf" or ".safetensors". */
lb_status lb_model_writer_new(const char *path, const char *ending, const lb_stored *tensors, uint32_t count,
                              lb_writer_options o, uint64_t align, lb_model_writer **out);
/* Creates part `p` with this head; its tensors' offsets then count from the start of the file, `data` bytes follow. */
lb_status lb_model_writer_head(lb_model_writer *w, int p, const void *head, size_t head_bytes, uint64_t data);
/* The bytes of a part's data, its last tensor rounded up too. */
uint64_t lb_model_writer_data_bytes(const lb_model_writer *w, int p, uint64_t align);
