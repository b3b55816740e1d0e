/* A folder uploaded as one archive, which is made while it is sent: no copy lies on this disk. */
#include "services/worker/transfer_self.h"

#include "common/scoped.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

struct archive {
    objects_t *objects;
    objects_writer_t *writer;
    int sent; /* what the store said, when it was not 0 */
    struct transfer_way way;
};

static int sink(void *arg, const void *bytes, size_t size)
{
    struct archive *self = arg;
    self->sent = objects_write(self->writer, bytes, size);
    return self->sent;
}

static void packed_so_far(void *arg, uint64_t done, uint64_t total)
{
    const struct archive *self = arg;
    if (total)
        engine_progress(self->way.engine, (double)done / (double)total);
}

static int name_key(const struct transfer_put *put, char *ret_key, char *ret_why)
{
    char name[NAME_MAX + 1];
    (void)snprintf(name, sizeof name, "%.200s_compressed%s", put->archive,
                   pack_suffix(put->format));
    int r = transfer_join(put->key, name, ret_key, OBJECTS_KEY_MAX + 1, ret_why);
    if (r == 0 && !objects_key_valid(ret_key))
        r = transfer_says(STATUS_INVALID, ret_why, "%.300s cannot be the name of an object",
                          ret_key);
    return r;
}

/* A folder that cannot be packed whole is not to be uploaded in another way either; a packer that
 * fails for itself says nothing about the folder. */
static int packing_failed(int r, const char *folder, const char *message, bool *ret_against,
                          char *why)
{
    *ret_against = r > 0;
    (void)transfer_says(r, why, "%.200s cannot be compressed: %.280s", folder,
                        message[0] ? message
                        : r > 0    ? status_text(r)
                                   : strerror(-r));
    if (r == STATUS_EMPTY)
        return transfer_says(STATUS_INVALID, why, "there is no file in the folder %.300s", folder);
    return r == STATUS_CONFLICT ? STATUS_UNAVAILABLE : r;
}

/* Feeds the writer, which it ends in any case. */
static int pack(struct archive *self, const struct transfer_put *put, struct transfer_done *done,
                bool *ret_against, char *why)
{
    char message[PACK_MESSAGE] = "";
    const struct pack_row row = { .folder = put->path,
                                  .format = put->format,
                                  .level = put->level,
                                  .sink = sink,
                                  .moved = packed_so_far,
                                  .arg = self };
    int r = pack_folder(&row, &done->stats, message);
    if (r) {
        objects_writer_abort(&self->writer, self->sent != 0);
        return self->sent ? transfer_failed(self->objects, self->sent, self->way.key, why)
                          : packing_failed(r, put->path, message, ret_against, why);
    }
    struct object_info info = { 0 };
    r = objects_writer_end(&self->writer, &info);
    if (r == 0 && put->verify)
        r = objects_verify(self->objects, put->bucket, self->way.key, &info, NULL);
    if (r)
        return transfer_failed(self->objects, r, self->way.key, why);
    if (info.bytes != done->stats.packed_bytes || strcmp(info.sha256, done->stats.sha256) != 0)
        return transfer_says(STATUS_UNAVAILABLE, why, "%.300s is not what was packed",
                             self->way.key);
    return 0;
}

static int make_absolute(const char *path, char *ret_path, char *ret_why)
{
    char here[PATH_MAX];
    if (path[0] == '/')
        return snprintf(ret_path, PATH_MAX, "%s", path) < PATH_MAX ? 0 : -ENAMETOOLONG;
    return getcwd(here, sizeof here) ? transfer_join(here, path, ret_path, PATH_MAX, ret_why)
                                     : -errno;
}

int transfer_put_archive(engine_t *engine, objects_t *objects, const struct transfer_put *put,
                         struct transfer_done *ret_done, bool *ret_against,
                         char ret_why[TRANSFER_WHY])
{
    char key[OBJECTS_KEY_MAX + 1];
    char folder[PATH_MAX];
    char upload[OBJECTS_UPLOAD_MAX];
    *ret_against = true;
    int r = name_key(put, key, ret_why);
    if (r == 0)
        r = make_absolute(put->path, folder, ret_why);
    if (r)
        return r;
    struct archive self = { .objects = objects,
                            .way = { .engine = engine, .bucket = put->bucket, .key = key } };
    struct transfer_put whole = *put;
    whole.path = folder;
    transfer_kept(engine, objects, put->bucket, key, upload);
    const struct objects_put row = { .bucket = put->bucket,
                                     .key = key,
                                     .content_type = transfer_type_of(key),
                                     .resume = upload,
                                     .began = transfer_began,
                                     .watch = { .arg = &self.way } };
    r = objects_writer_new(objects, &row, &self.writer);
    if (r)
        return transfer_failed(objects, r, key, ret_why);
    r = pack(&self, &whole, ret_done, ret_against, ret_why);
    if (r)
        return r;
    ret_done->compressed = true;
    ret_done->format = put->format;
    ret_done->files = ret_done->stats.files;
    ret_done->bytes = ret_done->stats.original_bytes;
    transfer_name_only(ret_done, key + strlen(put->key) + 1);
    memcpy(ret_done->sha256, ret_done->stats.sha256, sizeof ret_done->sha256);
    return objects_url(objects, put->bucket, key, ret_done->url)
               ? transfer_failed(objects, STATUS_INVALID, key, ret_why)
               : 0;
}
