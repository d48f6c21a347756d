/* nvml.h: NVIDIA's management library, loaded at run time; without it nothing is known, and nothing fails. */
#pragma once
#include <stdbool.h>
#include "device.h"

typedef struct lb_nvml lb_nvml;
/* The device at this PCI address ("00000000:01:00.0"); NULL: no library, or it does not know the device. */
lb_nvml *lb_nvml_open(const char *pci);
void lb_nvml_close(lb_nvml *n);      /* NULL is fine */
/* False (and all unknown) without a library. Takes up to some milliseconds: never while something is timed. */
bool lb_nvml_read(lb_nvml *n, lb_device_live *out);
