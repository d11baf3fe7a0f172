#include "base/status.h"

const char *status_text(enum status status)
{
    switch (status) {
    case STATUS_OK: return "ok";
    case STATUS_AGAIN: return "not yet";
    case STATUS_CLOSED: return "closed by the other side";
    case STATUS_IO: return "input/output error";
    case STATUS_MALFORMED: return "malformed";
    case STATUS_TOO_LARGE: return "too large";
    case STATUS_MISMATCH: return "mismatch";
    case STATUS_NOT_FOUND: return "not found";
    }
    return "unknown status";
}
