/* status.h: how every fallible engine function reports failure. */
#pragma once

typedef enum lb_status {
    LB_OK = 0,
    LB_EINVAL,       /* the caller's arguments do not make sense: shapes, names, ranges */
    LB_EUNSUPPORTED, /* sensible, but no kernel, format or device here does it */
    LB_ENOMEM,
    LB_EIO,          /* a file cannot be read, written or understood */
    LB_ECLOSED,      /* the object was closed before */
    LB_EDEVICE,      /* the device is missing, lost or failed */
    LB_EINTERRUPTED, /* SIGINT arrived; what was finished is kept */
    LB_EINTERNAL     /* a bug of ours, reported instead of crashing */
} lb_status;

#define LB_PRINTF(fmt_index, first) __attribute__((format(printf, fmt_index, first)))

/* Records the thread's error text (got, expected, where, hint) and returns `code`, so that a
 * function can end with `return lb_fail(LB_EINVAL, "...", ...)`. At most 1023 bytes are kept. */
lb_status lb_fail(lb_status code, const char *fmt, ...) LB_PRINTF(2, 3);

/* Puts "prefix: " before the current error text and returns `code`. */
lb_status lb_fail_in(lb_status code, const char *fmt, ...) LB_PRINTF(2, 3);

/* The error text of the last lb_fail on this thread; never NULL; owned by the engine. */
const char *lb_error(void);

/* "invalid argument", "unsupported", ...; never NULL. */
const char *lb_status_name(lb_status s);
