/* storage.upload_directory and storage.upload_file. */
#include "services/worker/transfer.h"

#include "services/worker/nodes/local.h"
#include "services/worker/nodes/upload.h"

#include <stdio.h>

struct upload {
    engine_t *engine;
    const char *field; /* the input that names what is uploaded */
    const char *path;
    const char *name; /* its last part */
    const char *key_field;
    char key[OBJECTS_KEY_MAX + 1];
    bool delete_local;
    struct local local; /* what goes then */
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
    return r == 0 && self->delete_local ? local_look(self->engine, self->path, folder, &self->local)
                                        : r;
}

/* The input that a failure speaks of. */
static const char *field_of(const struct upload *self, int r)
{
    if (r == STATUS_DENIED || r == STATUS_NOT_FOUND)
        return "bucket";
    return self->field;
}

static int upload(struct upload *self, struct transfer_done *done)
{
    char why[TRANSFER_WHY] = "";
    int r = transfer_put(self->engine, &self->put, done, why);
    if (r)
        return transfer_refuse(self->engine, r, field_of(self, r), why);
    return self->delete_local ? local_remove(self->engine, &self->local) : 0;
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
        r = upload(self, done);
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
        r = upload(self, done);
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
