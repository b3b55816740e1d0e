#pragma once
/* Where things lie in the data folder of a local system, and the files that `gantry up` writes
 * there. */
#include "services/cli/flags.h"

#include <limits.h>

enum { LAYOUT_ENDPOINT = 160 };

struct layout {
    char dir[PATH_MAX]; /* absolute, free of links */
    bool relative;      /* sockets are named relative to dir: its name is too long or has a comma */
};

/* Makes the folder and those within it. 0 or -errno. */
int layout_make(const char *dir, struct layout *ret_layout);
/* The folder as it is. 0 or -errno. */
int layout_find(const char *dir, struct layout *ret_layout);

/* "ipc:///data/run/clients", or "ipc://run/clients" for processes that stand in dir. */
const char *layout_endpoint(const struct layout *self, const char *name,
                            char text[LAYOUT_ENDPOINT]);

/* The socket of Redis as redis.addr wants it: a path that begins with / or . */
const char *layout_redis(const struct layout *self, char text[LAYOUT_ENDPOINT]);

/* {dir}/{name}. False when too long. */
bool layout_path(const struct layout *self, const char *name, char path[PATH_MAX]);

/* Settings as gantry.yaml wants them, in the order given; those with a NULL value are left out. */
struct layout_setting {
    const char *name; /* "storage.root" */
    const char *value;
};
/* Writes {dir}/gantry.yaml anew, whole or not at all. 0 or -errno. */
int layout_write_settings(const struct layout *self, const struct layout_setting *settings,
                          size_t count);
/* Writes {dir}/redis/redis.conf: deploy/redis.conf and what depends on the place. 0 or -errno. */
int layout_write_redis(const struct layout *self);
