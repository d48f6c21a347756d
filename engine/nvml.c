/* nvml.c: utilisation, memory, clocks, power, energy, temperature and throttle reasons of a GPU, by NVML. */
#include "nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef void *handle;
typedef struct utilization { unsigned gpu, memory; } utilization;
typedef struct memory { unsigned long long total, free, used; } memory;

/* As NVML's header has them; 0 is success. Those that a library does not have stay NULL. */
typedef struct functions {
    int (*init)(void);
    int (*by_pci)(const char *pci, handle *out);
    int (*utilization)(handle d, utilization *out);
    int (*memory)(handle d, memory *out);
    int (*clock)(handle d, int which, unsigned *mhz);
    int (*max_clock)(handle d, int which, unsigned *mhz);
    int (*power)(handle d, unsigned *milliwatts);
    int (*energy)(handle d, unsigned long long *millijoules);
    int (*temperature)(handle d, int sensor, unsigned *degrees);
    int (*reasons)(handle d, unsigned long long *out);
} functions;

struct lb_nvml { handle device; };
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2 };

static functions f;
static bool usable;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find(void *so, const char *name, void *out) {
    void *at = dlsym(so, name);
    memcpy(out, &at, sizeof at);
}

static void load(void) {
    void *so = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!so) return;
    find(so, "nvmlInit_v2", &f.init);
    find(so, "nvmlDeviceGetHandleByPciBusId_v2", &f.by_pci);
    find(so, "nvmlDeviceGetUtilizationRates", &f.utilization);
    find(so, "nvmlDeviceGetMemoryInfo", &f.memory);
    find(so, "nvmlDeviceGetClockInfo", &f.clock);
    find(so, "nvmlDeviceGetMaxClockInfo", &f.max_clock);
    find(so, "nvmlDeviceGetPowerUsage", &f.power);
    find(so, "nvmlDeviceGetTotalEnergyConsumption", &f.energy);
    find(so, "nvmlDeviceGetTemperature", &f.temperature);
    find(so, "nvmlDeviceGetCurrentClocksEventReasons", &f.reasons);
    if (!f.reasons) find(so, "nvmlDeviceGetCurrentClocksThrottleReasons", &f.reasons);
    usable = f.init && f.by_pci && f.init() == 0;
}

lb_nvml *lb_nvml_open(const char *pci) {
    handle h = NULL;
    pthread_once(&once, load);
    if (!usable || f.by_pci(pci, &h) != 0) return NULL;
    lb_nvml *n = calloc(1, sizeof *n);
    if (n) n->device = h;
    return n;
}

void lb_nvml_close(lb_nvml *n) { free(n); }

static double clock_ghz(int (*ask)(handle, int, unsigned *), handle d, int which) {
    unsigned mhz;
    return ask && ask(d, which, &mhz) == 0 ? mhz * 1e-3 : NAN;
}

bool lb_nvml_read(lb_nvml *n, lb_device_live *out) {
    utilization u;
    memory m;
    unsigned value;
    unsigned long long wide;
    *out = (lb_device_live){ .utilization = NAN, .memory_utilization = NAN, .memory_used_bytes = -1, .sm_ghz = NAN,
                             .memory_ghz = NAN, .sm_max_ghz = NAN, .watts = NAN, .joules = NAN, .celsius = NAN };
    if (!n) return false;
    if (f.utilization && f.utilization(n->device, &u) == 0)
        out->utilization = u.gpu * 0.01, out->memory_utilization = u.memory * 0.01;
    if (f.memory && f.memory(n->device, &m) == 0) out->memory_used_bytes = (int64_t)m.used;
    out->sm_ghz = clock_ghz(f.clock, n->device, CLOCK_SM);
    out->memory_ghz = clock_ghz(f.clock, n->device, CLOCK_MEMORY);
    out->sm_max_ghz = clock_ghz(f.max_clock, n->device, CLOCK_SM);
    if (f.power && f.power(n->device, &value) == 0) out->watts = value * 1e-3;
    if (f.energy && f.energy(n->device, &wide) == 0) out->joules = (double)wide * 1e-3;
    if (f.temperature && f.temperature(n->device, 0, &value) == 0) out->celsius = value;
    out->reasons_known = f.reasons && f.reasons(n->device, &wide) == 0;
    if (out->reasons_known) out->reasons = wide;
    return true;
}
