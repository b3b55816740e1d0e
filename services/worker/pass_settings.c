#include "services/worker/pass_settings.h"

#include "common/setting_row.h"
#include "proto/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { LIST_BYTES = 16384 };

static const char ipc[] = "ipc://";

bool setting_is_passed(const char *name)
{
    static const char *const names[] = { "objects.",       "unpack.",        "storage.",
                                         "quota.",         "cleanup.",       "callback.allow",
                                         "worker.clients", "front.upload_ms" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* Lists of paths; a list of one is one. */
static bool is_paths(const char *name)
{
    static const char *const names[] = { "storage.root", "storage.local", "storage.input_roots",
                                         "storage.legacy", "objects.ca_file" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

struct list {
    char text[LIST_BYTES];
    size_t size;
    bool full;
};

static void add(struct list *self, const char *between, const char *first, struct slice second)
{
    size_t room = sizeof self->text - self->size;
    int more =
        snprintf(self->text + self->size, room, "%s%s%.*s", between, first, SLICE_ARG(second));
    if (more < 0 || (size_t)more >= room)
        self->full = true;
    else
        self->size += (size_t)more;
}

/* A socket's path has few bytes: where the folder's name takes too many of them, the way there
 * through the process that stands in it is short. */
static void add_endpoint(struct list *self, const char *between, const char *cwd,
                         struct slice endpoint)
{
    const size_t head = sizeof ipc - 1;
    const char *bytes = endpoint.data;
    char prefix[PATH_MAX + 32] = "";
    if (endpoint.size > head && memcmp(bytes, ipc, head) == 0 && !strchr("/@", bytes[head])) {
        endpoint = slice_make(bytes + head, endpoint.size - head);
        bool fits = strlen(cwd) + 1 + endpoint.size < sizeof((struct sockaddr_un *)0)->sun_path;
        if (fits)
            (void)snprintf(prefix, sizeof prefix, "%s%s/", ipc, cwd);
        else
            (void)snprintf(prefix, sizeof prefix, "%s/proc/%ld/cwd/", ipc, (long)getpid());
    }
    add(self, between, prefix, endpoint);
}

static void add_path(struct list *self, const char *between, const char *cwd, struct slice path)
{
    char prefix[PATH_MAX + 1] = "";
    if (path.size && *(const char *)path.data != '/')
        (void)snprintf(prefix, sizeof prefix, "%s/", cwd);
    add(self, between, prefix, path);
}

static int make_absolute(const char *name, const char *value, struct list *ret_list)
{
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof cwd))
        return -errno;
    const char *between = "";
    for (const char *at = value; *at; between = ",") {
        at += strspn(at, " ,");
        size_t size = strcspn(at, ",");
        size_t used = size;
        while (used && at[used - 1] == ' ')
            used--;
        struct slice item = slice_make(at, used);
        if (used && is_paths(name))
            add_path(ret_list, between, cwd, item);
        else if (used)
            add_endpoint(ret_list, between, cwd, item);
        at += size;
    }
    return ret_list->full ? -ENAMETOOLONG : 0;
}

static int pack_value(const struct setting_row *row, const struct settings *settings,
                      msgpack_packer *pk)
{
    const char *value = (const char *)settings + row->offset;
    if (row->kind != SETTING_IS_TEXT) {
        int64_t whole;
        char text[SETTING_NAME];
        memcpy(&whole, value, sizeof whole);
        (void)snprintf(text, sizeof text, "%" PRId64, whole);
        pack_text(pk, row->kind == SETTING_IS_WHOLE ? text : whole ? "true" : "false");
        return 0;
    }
    const char *text;
    memcpy(&text, value, sizeof text);
    if (!is_paths(row->name) && strcmp(row->name, "worker.clients") != 0) {
        pack_text(pk, text);
        return 0;
    }
    struct list list = { .size = 0 };
    int r = make_absolute(row->name, text, &list);
    pack_text(pk, list.text);
    return r;
}

int pass_settings(const struct settings *settings, struct packed *ret_map)
{
    size_t count = 0;
    for (size_t i = 0; i < SETTING_ROWS; i++)
        count += setting_is_passed(setting_rows[i].name);
    msgpack_packer pk = packed_packer(ret_map);
    msgpack_pack_map(&pk, count);
    int r = 0;
    for (size_t i = 0; r == 0 && i < SETTING_ROWS; i++) {
        if (!setting_is_passed(setting_rows[i].name))
            continue;
        pack_text(&pk, setting_rows[i].name);
        r = pack_value(&setting_rows[i], settings, &pk);
    }
    return r == 0 && ret_map->failed ? -ENOMEM : r;
}
