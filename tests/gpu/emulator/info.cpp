/* info.cpp: the device that emulated kernels size their grids by: few multiprocessors, so that loops over tiles go
 * round more than once. LUABENCH_EMULATED_SMS gives another number of them. */
#include <stdlib.h>

#include "engine/kernel_cuda.h"

extern "C" {
extern const lb_kernel *const lb_kernels_cuda[];
__attribute__((visibility("default"))) const lb_kernel *const *lb_emu_kernels(void) { return lb_kernels_cuda; }

const lb_cuda_info *lb_cuda_info_now(void) {
    static lb_cuda_info i = { 0, 90, 0, 2048, 65536, 228 << 10, 227 << 10, 50 << 20 };
    const char *sms = getenv("LUABENCH_EMULATED_SMS");
    i.sm_count = sms ? atoi(sms) : 3;
    if (i.sm_count < 1) i.sm_count = 1;
    return &i;
}
}
