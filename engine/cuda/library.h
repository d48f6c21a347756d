/* library.h: libraries of CUDA's that are looked for when they are first needed. */
#pragma once
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif
/* "cublasLt", "nvrtc": a handle for dlsym, the same each time; NULL: not found. *from (may be NULL): the path, or why
 * not. */
void *lb_cuda_library(const char *name, const char **from);
/* An attribute of a device; 0 = unknown. */
#ifdef __CUDA_RUNTIME_API_H__
int lb_cuda_attribute(int device, enum cudaDeviceAttr what);
#endif
#ifdef __cplusplus
}
#endif
