/* cpu_device.h: the CPU with one thread, for a program's tests together: group set-up and teardown of cmocka. */
#pragma once
#include "engine/device.h"

static lb_device *device;

static inline int open_device(void **state) {
    (void)state;
    return lb_device_open("cpu", 1, &device) ? -1 : 0;
}
static inline int close_device(void **state) {
    (void)state;
    lb_device_release(device);
    return 0;
}
