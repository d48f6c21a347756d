/* mapping.h: a file mapped into memory as a buffer that tensors can be views of. */
#pragma once
#include "../tensor.h"
#include "file.h"

/* Maps a whole regular file, private and copy on write: writing to a tensor changes no file and no other process.
 * A file of less than `at_least` bytes (1 or more) is LB_EIO; `what` names what was expected ("a GGUF file"). */
lb_status lb_map_file(const char *path, lb_device *d, uint64_t at_least, const char *what, lb_buffer **out);
