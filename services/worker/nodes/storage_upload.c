/* storage.upload_directory and storage.upload_file. */
#include "services/worker/transfer.h"

#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/tree.h"
#include "services/worker/nodes/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

struct upload {
    engine_t *engine;
    const char *field; /* the input that names what is uploaded */
    const char *path;
    const char *name; /* its last part */
    const char *key_field;
    char key[OBJECTS_KEY_MAX + 1];
    bool delete_local;
    struct transfer_put put;
};

static int read_text(engine_t *engine, const char *key, const char **ret_text)
{
    return engine_given(engine, key) ? engine_text(engine, key, ret_text) : 0;
}

static int read_key(struct upload *self)
{
    const char *given = NULL;
    int r = read_text(self->engine, self->key_field, &given);
    if (r)
        return r;
    int size = given ? snprintf(self->key, sizeof self->key, "%s", given)
                     : snprintf(self->key, sizeof self->key, "%s/%s", engine_task(self->engine),
                                self->name);
    bool fits = size > 0 && (size_t)size < sizeof self->key;
    while (fits && size > 1 && self->key[size - 1] == '/' && strcmp(self->field, "file_path") != 0)
        self->key[--size] = '\0';
    if (!fits || !objects_key_valid(self->key))
        return engine_refuse(self->engine, STATUS_INVALID, self->key_field,
                             "%.200s cannot be the name of an object", given ? given : self->name);
    self->put.key = self->key;
    return 0;
}

/* What is deleted is the task's own: it lies beneath its folder, but for the one that is for
 * attempts. ret_name is its name there. */
static int check_delete(struct upload *self, bool folder, char ret_name[PATH_MAX])
{
    char path[PATH_MAX];
    const char *own = engine_folder(self->engine);
    size_t size = strlen(own);
    int r = paths_resolve_input(own, "", slice_of(self->path), folder, path);
    if (r < 0)
        return r;
    bool good = r == 0 && strncmp(path, own, size) == 0 && path[size] == '/' && path[size + 1] &&
                strcmp(path + size, "/tmp") != 0 && strncmp(path + size, "/tmp/", 5) != 0;
    if (good)
        memcpy(ret_name, path + size + 1, strlen(path + size + 1) + 1);
    else
        return engine_refuse(self->engine, STATUS_DENIED, "delete_local",
                             "%.300s is not deleted: it does not lie beneath the task's own folder",
                             self->path);
    return 0;
}

/* Looked up by the kernel at every step, through no link. 0 or -errno. */
static int remove_beneath(const char *top, char *name)
{
    scoped_fd int own = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    char *slash = strrchr(name, '/');
    if (!slash)
        return tree_remove(own, name);
    *slash = '\0';
    scoped_fd int parent = paths_open_beneath(own, name, O_PATH | O_DIRECTORY);
    return parent < 0 ? parent : tree_remove(parent, slash + 1);
}

static int delete_it(struct upload *self, bool folder)
{
    char name[PATH_MAX];
    int r = check_delete(self, folder, name);
    if (r == 0)
        r = remove_beneath(engine_folder(self->engine), name);
    if (r < 0)
        return engine_retry(self->engine, -1, "%.300s cannot be deleted: %s", self->path,
                            strerror(-r));
    return r;
}

static int read_inputs(struct upload *self, bool folder)
{
    objects_t *objects;
    self->put.bucket = self->put.content_type = "";
    int r = engine_text(self->engine, self->field, &self->path);
    if (r)
        return r;
    const char *slash = strrchr(self->path, '/');
    self->name = slash ? slash + 1 : self->path;
    self->put.path = self->path;
    self->put.archive = self->name;
    r = engine_objects(self->engine, &objects);
    if (r == 0)
        r = read_text(self->engine, "bucket", &self->put.bucket);
    if (r == 0)
        r = read_key(self);
    if (r == 0)
        r = engine_switch(self->engine, "delete_local", &self->delete_local);
    self->put.verify = self->delete_local;
    char at[PATH_MAX];
    return r == 0 && self->delete_local ? check_delete(self, folder, at) : r;
}

/* The input that a failure speaks of. */
static const char *field_of(const struct upload *self, int r)
{
    if (r == STATUS_DENIED || r == STATUS_NOT_FOUND)
        return "bucket";
    return self->field;
}

static int upload(struct upload *self, bool folder, struct transfer_done *done)
{
    char why[TRANSFER_WHY] = "";
    int r = transfer_put(self->engine, &self->put, done, why);
    if (r)
        return transfer_refuse(self->engine, r, field_of(self, r), why);
    return self->delete_local ? delete_it(self, folder) : 0;
}

static int run_directory(struct upload *self, struct transfer_done *done)
{
    static const struct upload_names names = { .url = "directory_minio_url",
                                               .archive = "archive_url",
                                               .files = "files_count",
                                               .uploaded = "uploaded_files",
                                               .info = "compression_info" };
    const struct upload_inputs inputs = { .compress = "compress",
                                          .format = "compression_format",
                                          .level = "compression_level" };
    int r = read_inputs(self, true);
    if (r == 0)
        r = upload_read_archive(self->engine, &inputs, &self->put);
    if (r == 0)
        r = upload(self, true, done);
    if (r)
        return r;
    upload_put_output(self->engine, &names, done);
    engine_put_whole(self->engine, "bytes", done->bytes);
    engine_put_switch(self->engine, "local_deleted", self->delete_local);
    return 0;
}

int storage_upload_directory(engine_t *engine)
{
    struct upload self = { .engine = engine,
                           .field = "directory_path",
                           .key_field = "object_prefix" };
    struct transfer_done done = { .files = 0 };
    int r = run_directory(&self, &done);
    transfer_done_clear(&done);
    return r;
}

static int run_file(struct upload *self, struct transfer_done *done)
{
    int r = read_inputs(self, false);
    if (r == 0)
        r = read_text(self->engine, "content_type", &self->put.content_type);
    if (r == 0 && !self->put.content_type[0])
        self->put.content_type = transfer_type_of(self->name);
    if (r == 0)
        r = upload(self, false, done);
    if (r)
        return r;
    const char *type = self->put.content_type;
    engine_put_text(self->engine, "file_minio_url", done->url);
    engine_put_text(self->engine, "object_name", self->key);
    engine_put_whole(self->engine, "bytes", done->bytes);
    engine_put_text(self->engine, "sha256", done->sha256);
    engine_put_text(self->engine, "content_type", type[0] ? type : "application/octet-stream");
    engine_put_switch(self->engine, "local_deleted", self->delete_local);
    return 0;
}

int storage_upload_file(engine_t *engine)
{
    struct upload self = { .engine = engine, .field = "file_path", .key_field = "object_name" };
    struct transfer_done done = { .files = 0 };
    int r = run_file(&self, &done);
    transfer_done_clear(&done);
    return r;
}
