/* Inputs that are addresses: what they name is fetched into the attempt's folder before the node
 * runs, which sees a path like any other. */
#include "services/worker/engine_self.h"
#include "services/worker/transfer.h"

#include "common/scoped.h"
#include "proto/codec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_MODE = 0777, ADDRESSES_MAX = 64 };

#define FOLDER "fetched"
#define FETCHED_TO 0.3

struct address {
    char field[FIELD_MAX];
    char path[PATH_MAX]; /* absolute, of what was fetched */
};

static int fetch_one(engine_t *self, size_t index, struct address *address)
{
    char folder[32], part[48], name[PATH_MAX];
    char why[TRANSFER_WHY] = "";
    const char *source;
    struct transfer_got got = { .folder = false };
    (void)snprintf(folder, sizeof folder, FOLDER "/%zu", index);
    (void)snprintf(part, sizeof part, "%s.part", folder);
    int r = engine_text(self, address->field, &source);
    if (r == 0 && mkdir(folder, FOLDER_MODE) != 0)
        r = -errno;
    if (r)
        return r;
    const struct transfer_get get = { .source = source, .to = part };
    r = transfer_get(self, &get, &got, why);
    if (r)
        return transfer_refuse(self, r, address->field, why);
    if (!getcwd(address->path, sizeof address->path))
        return -errno;
    size_t used = strlen(address->path);
    (void)snprintf(name, sizeof name, "%s/%s", folder, got.name);
    int added = snprintf(address->path + used, sizeof address->path - used, "/%s", name);
    if (added < 0 || (size_t)added >= sizeof address->path - used)
        return -ENAMETOOLONG;
    return rename(part, name) == 0 ? 0 : -errno;
}

static const char *path_of(const struct address *addresses, size_t count, struct slice key)
{
    struct slice name;
    for (size_t i = 0; codec_str(key, &name) && i < count; i++)
        if (slice_is(name, addresses[i].field))
            return addresses[i].path;
    return NULL;
}

/* The inputs anew, with paths where addresses were. */
static int replace(engine_t *self, const struct address *addresses, size_t count)
{
    struct reader reader;
    uint32_t pairs = 0;
    if (!codec_map(self->input, &reader, &pairs))
        return -EINVAL;
    msgpack_packer pk = packed_packer(&self->replaced);
    msgpack_pack_map(&pk, pairs);
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice key, value;
        if (!reader_value(&reader, &key) || !reader_value(&reader, &value))
            return -EINVAL;
        const char *path = path_of(addresses, count, key);
        pack_raw(&pk, key);
        if (path)
            pack_text(&pk, path);
        else
            pack_raw(&pk, value);
    }
    if (self->replaced.failed)
        return -ENOMEM;
    self->input = packed_slice(&self->replaced);
    return 0;
}

static int fetch_all(engine_t *self, struct reader *names, struct address *addresses, size_t count)
{
    int r = mkdir(FOLDER, FOLDER_MODE) == 0 ? 0 : -errno;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct slice value, name;
        if (!reader_value(names, &value) || !codec_str(value, &name) ||
            !slice_copy(name, addresses[i].field, sizeof addresses[i].field))
            return engine_refuse(self, STATUS_MALFORMED, NULL, "the addresses are no names");
        engine_share(self, (double)i / (double)count, (double)(i + 1) / (double)count);
        r = fetch_one(self, i, &addresses[i]);
    }
    return r;
}

int engine_fetch_inputs(engine_t *self)
{
    struct slice list;
    struct reader names;
    uint32_t count = 0;
    if (!codec_find(self->before, "addresses", &list) || !codec_array(list, &names, &count) ||
        count == 0)
        return 0;
    struct address *addresses = count <= ADDRESSES_MAX ? calloc(count, sizeof *addresses) : NULL;
    if (!addresses)
        return -ENOMEM;
    double run_to = self->run_to;
    self->run_to = FETCHED_TO;
    int r = fetch_all(self, &names, addresses, count);
    if (r == 0)
        r = replace(self, addresses, count);
    engine_share(self, 0, 1);
    self->run_from = FETCHED_TO;
    self->run_to = run_to;
    free(addresses);
    return r;
}
