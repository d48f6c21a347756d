/* fake.h: a device that is played on the CPU, to test what the engine does with one. Its memory is closed to the host
 * except while the device works, so that an address of one side used on the other is a fault; its stream does nothing
 * until somebody waits for it, so that what is not waited for is seen to be stale. */
#pragma once
#include "cuda_runtime_api.h"

/* Enqueues fn(bytes of arg); a fault's cudaError_t, or 0. `arg` is copied. Records into a graph while capturing. */
void fake_enqueue(cudaStream_t s, int (*fn)(void *arg), const void *arg, size_t bytes);
/* The error that the next cudaGetLastError gives. */
void fake_fail(cudaError_t e);
/* driver.c: a function of the driver's own interface; NULL = not played. */
void *fake_driver_function(const char *name);
/* The number behind a key ("memory=") of LUABENCH_FAKE; `value` where it is not there. */
long fake_setting(const char *key, long value);
/* e, or what has destroyed the context; kept for cudaGetLastError. */
cudaError_t fake_result(cudaError_t e);
/* The device works: between begin and end its memory is open. After a fault nothing more is done. */
void fake_work_begin(void);
void fake_work(int (*fn)(void *arg), void *arg);
void fake_work_end(void);
double fake_now_ns(void);
/* The value of a conditional node. */
void fake_choose(unsigned long long handle, unsigned is);
