/* model_file.h: model files of any format: named tensors, mapped and turned into views when asked for, and metadata.
 *
 * Nothing that stands in a file is believed: every count, size and offset is checked against the bytes that are there
 * before it is used, and memory is taken in proportion to these bytes. Errors are LB_EIO; they name the file, the place
 * in it, what is there and what was expected. A file must not be made shorter while it is mapped. */
#pragma once
#include "../tensor.h"
#include "arena.h"
#include "file.h"

/* How a format stores elements. `block` elements take `bytes` bytes. */
typedef struct lb_file_type {
    const char *name;     /* as the format writes it: "Q4_K", "BF16" */
    int id;               /* GGUF's number; -1 in safetensors */
    int block, bytes;
    lb_dtype dtype; /* LB_QUANT: blocks of `recipe`; LB_DTYPE_COUNT: cannot be a tensor here (only its bytes can) */
    const char *recipe;   /* a quantizer with exactly this layout, as is its family; it may not be registered */
} lb_file_type;
/* Are the blocks of this quantizer those of the type? */
bool lb_file_type_takes(const lb_file_type *type, const lb_quantizer *q);

/* A tensor of a file. */
typedef struct lb_stored {
    const char *name;             /* no control characters, no zero bytes, not empty */
    const lb_file_type *type;
    int rank;                     /* 0 = a scalar */
    int64_t dims[LB_MAX_RANK];    /* row-major, the contiguous one last */
    int part;                     /* which of the files */
    uint64_t offset, bytes;       /* in that file; inside of it */
} lb_stored;

/* Types of metadata, by GGUF's numbers. safetensors has strings only. */
typedef enum lb_meta_type {
    LB_META_U8, LB_META_I8, LB_META_U16, LB_META_I16, LB_META_U32, LB_META_I32, LB_META_F32, LB_META_BOOL,
    LB_META_STRING, LB_META_ARRAY, LB_META_U64, LB_META_I64, LB_META_F64, LB_META_COUNT
} lb_meta_type;
const char *lb_meta_type_name(lb_meta_type t);         /* "u8", ... */
lb_meta_type lb_meta_type_parse(const char *name);     /* LB_META_COUNT = unknown */
size_t lb_meta_type_size(lb_meta_type t);              /* bytes of a number or bool; 0 for strings and arrays */

typedef struct lb_meta {
    const char *key;          /* terminated */
    lb_meta_type type, item;  /* item: of an array's elements, never LB_META_ARRAY */
    uint64_t count;           /* elements of an array; else 1 */
    const uint8_t *data;      /* little-endian, not aligned; a string's bytes; strings in arrays: u64 length, bytes */
    uint64_t bytes;           /* of data */
} lb_meta;

typedef struct lb_model_file {
    const char *format;               /* "gguf" or "safetensors" */
    char *path;                       /* as it was opened */
    uint32_t version, alignment;      /* GGUF; 0 for others */
    lb_buffer **parts;                /* retained */
    char **part_paths;
    int part_count;
    lb_stored *tensors;               /* in file order */
    uint32_t count;
    uint32_t *by_name;                /* indexes, sorted by name */
    lb_meta *metas;                   /* in file order */
    uint32_t meta_count;
    lb_arena arena;                   /* names */
} lb_model_file;

/* Opens a file by what is in it (GGUF, safetensors), the index of a sharded model (*.index.json), or a folder with
 * such files (safetensors, else the only GGUF model there). All parts of a split model are opened. */
lb_status lb_model_file_open(const char *path, lb_device *d, lb_model_file **out);
void lb_model_file_close(lb_model_file *f);

/* NULL = not there. */
const lb_stored *lb_model_file_find(const lb_model_file *f, const char *name);
const lb_meta *lb_model_file_meta(const lb_model_file *f, const char *key);

/* The tensor as a view of the mapped file; as a copy only where its elements are not aligned in it. LB_EUNSUPPORTED,
 * naming the type, where there is no such dtype or weight format here. */
lb_status lb_model_file_tensor(const lb_model_file *f, const lb_stored *t, lb_tensor **out);
/* Its stored bytes as u8[bytes], whatever its type: a view of the mapped file. */
lb_status lb_model_file_bytes(const lb_model_file *f, const lb_stored *t, lb_tensor **out);

/* Steps through an array of strings: *at begins as 0. False at its end. */
bool lb_meta_next_string(const lb_meta *m, uint64_t *at, const char **text, uint64_t *bytes);
/* Element i of numbers and bools as double; 64-bit integers beyond 2^53 are rounded. NaN for strings. */
double lb_meta_number(const lb_meta *m, uint64_t i);

/* ---- for the readers of formats ---- */
/* An empty file object with room for `parts` buffers. */
lb_status lb_model_file_new(const char *path, const char *format, int parts, lb_model_file **out);
/* Sorts the names; LB_EIO if two tensors have the same. */
lb_status lb_model_file_index(lb_model_file *f);
