#include "services/cli/layout.h"

#include "common/scoped.h"
#include "services/cli/redis_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* sun_path holds 108 bytes with its NUL; "/run/" and the longest of our sockets' names come after
 * dir. */
enum { SOCKET_PATH_MAX = 107, SOCKET_NAME_MAX = sizeof "/run/redis.sock" - 1 };

static const struct {
    const char *name;
    mode_t mode;
} folders[] = {
    { "", 0755 }, { "run", 0700 }, { "redis", 0700 }, { "log", 0755 }, { "workflows", 0755 },
};

bool layout_path(const struct layout *self, const char *name, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s%s%s", self->dir, *name ? "/" : "", name);
    return length > 0 && length < PATH_MAX;
}

int layout_find(const char *dir, struct layout *ret_layout)
{
    struct layout layout;
    if (!realpath(dir, layout.dir))
        return -errno;
    layout.relative =
        strlen(layout.dir) + SOCKET_NAME_MAX > SOCKET_PATH_MAX || strpbrk(layout.dir, ", ");
    *ret_layout = layout;
    return 0;
}

int layout_make(const char *dir, struct layout *ret_layout)
{
    struct layout layout;
    if (mkdir(dir, 0755) && errno != EEXIST)
        return -errno;
    int r = layout_find(dir, &layout);
    if (r)
        return r;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[PATH_MAX];
        if (!layout_path(&layout, folders[i].name, path))
            return -ENAMETOOLONG;
        if (mkdir(path, folders[i].mode) && errno != EEXIST)
            return -errno;
    }
    *ret_layout = layout;
    return 0;
}

const char *layout_endpoint(const struct layout *self, const char *name, char text[LAYOUT_ENDPOINT])
{
    if (self->relative)
        (void)snprintf(text, LAYOUT_ENDPOINT, "ipc://run/%s", name);
    else
        (void)snprintf(text, LAYOUT_ENDPOINT, "ipc://%.*s/run/%s", SOCKET_PATH_MAX, self->dir,
                       name);
    return text;
}

const char *layout_redis(const struct layout *self, char text[LAYOUT_ENDPOINT])
{
    (void)snprintf(text, LAYOUT_ENDPOINT, "%.*s/run/redis.sock", SOCKET_PATH_MAX,
                   self->relative ? "." : self->dir);
    return text;
}

/* In double quotes: YAML and redis.conf read \" \\ and \xHH alike. */
static void put_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            fprintf(out, "\\x%02x", *at);
        else
            fputc(*at, out);
    }
    fputs("\"\n", out);
}

static int finish(FILE *out, const char *made, const char *path)
{
    int r = fflush(out) ? -errno : ferror(out) ? -EIO : 0;
    if (fclose(out) && r == 0)
        r = -errno;
    if (r == 0 && rename(made, path))
        r = -errno;
    return r;
}

/* Opens {path}.new. */
static FILE *begin(const char *path, char made[PATH_MAX])
{
    int length = snprintf(made, PATH_MAX, "%s.new", path);
    if (length < 0 || length >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return fopen(made, "we");
}

int layout_write_settings(const struct layout *self, const struct layout_setting *settings,
                          size_t count)
{
    char path[PATH_MAX];
    char made[PATH_MAX];
    if (!layout_path(self, "gantry.yaml", path))
        return -ENAMETOOLONG;
    FILE *out = begin(path, made);
    if (!out)
        return -errno;
    fputs("# Written by `gantry up` at each start: change a setting with its flags, such as --set "
          "NAME=VALUE.\n",
          out);
    for (size_t i = 0; i < count; i++) {
        if (!settings[i].value)
            continue;
        fprintf(out, "%s: ", settings[i].name);
        put_quoted(out, settings[i].value);
    }
    return finish(out, made, path);
}

int layout_write_redis(const struct layout *self)
{
    char path[PATH_MAX];
    char made[PATH_MAX];
    char dir[PATH_MAX];
    if (!layout_path(self, "redis/redis.conf", path) || !layout_path(self, "redis", dir))
        return -ENAMETOOLONG;
    FILE *out = begin(path, made);
    if (!out)
        return -errno;
    fwrite(redis_conf, 1, redis_conf_size, out);
    fputs("\n# Of this place, written by `gantry up` at each start.\nport 0\n", out);
    fputs("unixsocket ../run/redis.sock\nunixsocketperm 700\nsupervised no\ndaemonize no\n", out);
    fputs("dir ", out);
    put_quoted(out, dir);
    return finish(out, made, path);
}
