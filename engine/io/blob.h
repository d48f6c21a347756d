/* blob.h: named tensors in one checksummed file that processes map into memory and share, so that a fresh worker does
 * not quantize again.
 *
 * Little-endian: "LBBLOB01", u32 count, u32 0, u64 header bytes, u64 file bytes, u64 checksum of the entries; then per
 * tensor: u16 name bytes, u8 dtype, u8 quantizer name bytes, u8 rank, 3 zero bytes, i64 dims[rank], u64 offset, u64
 * bytes, u64 checksum of the data, name, quantizer name. Data begin at multiples of 4096. */
#pragma once
#include "../tensor.h"
#include "file.h"

typedef struct lb_named { const char *name; const lb_tensor *tensor; } lb_named;
/* Written aside and renamed. Tensors must be in their native layout; strided views are stored dense. */
lb_status lb_blob_save(const char *path, const lb_named *list, int count);

typedef struct lb_blob { char **names; lb_tensor **tensors; int count; } lb_blob;
/* Maps the file (private, copy on write: writing to a tensor changes no file and no other process) and wraps its
 * tensors; with `verify` every checksum is compared. lb_blob_done frees the lists and drops the references. */
lb_status lb_blob_map(const char *path, lb_device *d, bool verify, lb_blob *out);
void lb_blob_done(lb_blob *b);
