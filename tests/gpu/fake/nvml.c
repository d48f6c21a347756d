/* nvml.c: NVIDIA's management library of the played device: 350 W, 1.5 GHz, 60 degrees, and, with
 * LUABENCH_FAKE=throttled=1, a clock that the hardware has lowered. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PUBLIC __attribute__((visibility("default")))

static unsigned long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000 + (unsigned long long)t.tv_nsec / 1000000;
}

int nvmlInit_v2(void);
int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **out);
int nvmlDeviceGetUtilizationRates(void *d, unsigned *gpu_memory);
int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *total_free_used);
int nvmlDeviceGetClockInfo(void *d, int which, unsigned *mhz);
int nvmlDeviceGetMaxClockInfo(void *d, int which, unsigned *mhz);
int nvmlDeviceGetPowerUsage(void *d, unsigned *milliwatts);
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *millijoules);
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *degrees);
int nvmlDeviceGetCurrentClocksEventReasons(void *d, unsigned long long *reasons);

PUBLIC int nvmlInit_v2(void) { return 0; }
PUBLIC int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **out) {
    static int device;
    return *out = &device, pci && *pci ? 0 : 6;
}
PUBLIC int nvmlDeviceGetUtilizationRates(void *d, unsigned *gpu_memory) {
    return (void)d, gpu_memory[0] = 90, gpu_memory[1] = 40, 0;
}
PUBLIC int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *total_free_used) {
    return (void)d, total_free_used[0] = 512u << 20, total_free_used[1] = 500u << 20, total_free_used[2] = 12u << 20, 0;
}
PUBLIC int nvmlDeviceGetClockInfo(void *d, int which, unsigned *mhz) { return (void)d, *mhz = which == 1 ? 1500 : 3200,
    0; }
PUBLIC int nvmlDeviceGetMaxClockInfo(void *d, int which, unsigned *mhz) { return (void)d,
    *mhz = which == 1 ? 1980 : 3200, 0; }
PUBLIC int nvmlDeviceGetPowerUsage(void *d, unsigned *milliwatts) { return (void)d, *milliwatts = 350000, 0; }
/* 350 millijoules a millisecond, in steps of 100 ms, as a driver has them. */
PUBLIC int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *millijoules) {
    return (void)d, *millijoules = now_ms() / 100 * 100 * 350, 0;
}
PUBLIC int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *degrees) { return (void)d, (void)sensor,
    *degrees = 60, 0; }
PUBLIC int nvmlDeviceGetCurrentClocksEventReasons(void *d, unsigned long long *reasons) {
    const char *set = getenv("LUABENCH_FAKE");
    *reasons = set && strstr(set, "throttled=1") ? 0x8 : 0; /* hardware slowdown */
    return (void)d, 0;
}
