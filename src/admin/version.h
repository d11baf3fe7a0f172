/* What this server is, and which Redis it answers like. */
#ifndef ADMIN_VERSION_H
#define ADMIN_VERSION_H

#define KVSTORE_VERSION "0.1.0"
#define REDIS_VERSION "7.0.15"

#endif
