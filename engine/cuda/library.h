/* library.h: libraries of CUDA's that are looked for when they are first needed, and what they refuse. */
#pragma once
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif
/* "cublasLt", "nvrtc": a handle for dlsym, the same each time; NULL: not found. *from (may be NULL): the path, or why
 * not. */
void *lb_cuda_library(const char *name, const char **from);
/* Says, from within a kernel's launch(), that a library refused it; the first of several stays. The executor hears of
 * it when it asks how the launch went. Printf's format; cut at 200 bytes. */
__attribute__((format(printf, 1, 2))) void lb_cuda_refuse(const char *format, ...);
/* What this thread's launches were refused with since the last call; NULL: nothing. Good until the next refusal. */
const char *lb_cuda_refused(void);
/* An attribute of a device; 0 = unknown. */
#ifdef __CUDA_RUNTIME_API_H__
int lb_cuda_attribute(int device, enum cudaDeviceAttr what);
#endif
#ifdef __cplusplus
}
#endif
