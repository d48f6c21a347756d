/* mapping.h: a file mapped into memory as a buffer that tensors can be views of. */
#pragma once
#include "../tensor.h"
#include "file.h"

/* Maps a whole regular file, private and copy on write: writing to a tensor changes no file and no other process.
 * A file of less than `at_least` bytes (1 or more) is LB_EIO; `what` names what was expected ("a GGUF file"). */
lb_status lb_map_file(const char *path, lb_device *d, uint64_t at_least, const char *what, lb_buffer **out);

/* Gives the memory of bytes [offset, offset + bytes) of a mapped file back: whole pages, as far as nothing was written
 * to them; they come from the file again when next touched (as what lies beside them in a huge page may have to).
 * Returns the bytes given back: 0 for buffers that map no file, and where the system does not say which pages are the
 * file's. */
size_t lb_map_forget(const lb_buffer *b, size_t offset, size_t bytes);
