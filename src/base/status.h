/* Status codes of operations on the world outside the process.
 *
 * Zero is success.  A function that returns a status leaves its out-parameters
 * untouched on failure.  The caller handles the status or passes it up; whoever
 * handles it logs it, once. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum status {
    STATUS_OK = 0,
    STATUS_AGAIN,     /* nothing to do now; a later call may succeed */
    STATUS_CLOSED,    /* the other side ended the conversation */
    STATUS_IO,        /* the operating system refused; errno says why */
    STATUS_MALFORMED, /* bytes that break the format they claim to have */
    STATUS_TOO_LARGE, /* a length beyond the limit stated for it */
    STATUS_MISMATCH,  /* well-formed, but not meant for us */
    STATUS_NOT_FOUND,
};

/* A static, lower-case phrase for log lines. */
const char *status_text(enum status status);

#endif
