#include "services/state/zone.h"

#include "common/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ZONEINFO "/usr/share/zoneinfo/"

static const char name_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                 "_+-/";

/* Also keeps out "..", absolute names, and right/, whose clocks count leap seconds. */
static bool is_name(const char *name)
{
    return *name && *name != '/' && !name[strspn(name, name_bytes)] &&
           strncmp(name, "right/", 6) != 0;
}

/* Beside zones the folder has tables of them; only a zone begins so. */
static bool is_zone_file(const char *path)
{
    char magic[4] = { 0 };
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t size = read(fd, magic, sizeof magic);
    close(fd);
    return size == (ssize_t)sizeof magic && memcmp(magic, "TZif", sizeof magic) == 0;
}

static bool path_of(struct slice name, char *path, size_t size)
{
    char text[ZONE_NAME_MAX + 1];
    if (!slice_copy(name, text, sizeof text) || !is_name(text))
        return false;
    snprintf(path, size, ZONEINFO "%s", text);
    return is_zone_file(path);
}

bool zone_known(struct slice name)
{
    char path[sizeof ZONEINFO + ZONE_NAME_MAX];
    return name.size == 0 || path_of(name, path, sizeof path);
}

int zone_enter(struct zone *ret_self, struct slice name)
{
    char path[sizeof ZONEINFO + ZONE_NAME_MAX] = "UTC0";
    if (name.size && !path_of(name, path, sizeof path))
        return STATUS_NOT_FOUND;
    const char *now = getenv("TZ");
    char *before = now ? slice_dup(slice_of(now)) : NULL;
    if (now && !before)
        return -ENOMEM;
    if (setenv("TZ", path, 1)) {
        free(before);
        return -ENOMEM;
    }
    tzset();
    ret_self->before = before;
    return 0;
}

void zone_leave(struct zone *self)
{
    if (self->before)
        (void)setenv("TZ", self->before, 1);
    else
        unsetenv("TZ");
    free(self->before);
    self->before = NULL;
    tzset();
}

int64_t zone_offset(int64_t utc_s)
{
    const time_t moment = (time_t)utc_s;
    struct tm local;
    return localtime_r(&moment, &local) ? local.tm_gmtoff : 0;
}
