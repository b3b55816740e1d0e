#include "common/objects/objects.h"

#include "common/objects/objects_settings.h"

#include <errno.h>

int objects_new(const struct objects_row *row, objects_t **ret_objects)
{
    (void)row;
    (void)ret_objects;
    return -ENOSYS;
}

void objects_destroy(objects_t **self_p)
{
    (void)self_p;
}

const char *objects_error(const objects_t *self)
{
    (void)self;
    return "";
}

int objects_make_bucket(objects_t *self, const char *bucket)
{
    (void)self;
    (void)bucket;
    return -ENOSYS;
}

int objects_head(objects_t *self, const char *bucket, const char *key, struct object_info *ret_info)
{
    (void)self;
    (void)bucket;
    (void)key;
    (void)ret_info;
    return -ENOSYS;
}

int objects_delete(objects_t *self, const char *bucket, const char *key)
{
    (void)self;
    (void)bucket;
    (void)key;
    return -ENOSYS;
}

int objects_delete_prefix(objects_t *self, const char *bucket, const char *prefix,
                          uint64_t *ret_count)
{
    (void)self;
    (void)bucket;
    (void)prefix;
    (void)ret_count;
    return -ENOSYS;
}

int objects_list(objects_t *self, const char *bucket, const char *prefix, objects_each_fn *each,
                 void *arg)
{
    (void)self;
    (void)bucket;
    (void)prefix;
    (void)each;
    (void)arg;
    return -ENOSYS;
}

int objects_writer_new(objects_t *objects, const struct objects_put *put,
                       objects_writer_t **ret_writer)
{
    (void)objects;
    (void)put;
    (void)ret_writer;
    return -ENOSYS;
}

int objects_write(objects_writer_t *self, const void *bytes, size_t size)
{
    (void)self;
    (void)bytes;
    (void)size;
    return -ENOSYS;
}

int objects_writer_end(objects_writer_t **self_p, struct object_info *ret_info)
{
    (void)self_p;
    (void)ret_info;
    return -ENOSYS;
}

void objects_writer_abort(objects_writer_t **self_p, bool keep)
{
    (void)self_p;
    (void)keep;
}

int objects_put_file(objects_t *self, const struct objects_put *put, const char *path,
                     struct object_info *ret_info)
{
    (void)self;
    (void)put;
    (void)path;
    (void)ret_info;
    return -ENOSYS;
}

int objects_verify(objects_t *self, const char *bucket, const char *key,
                   const struct object_info *wanted, const struct objects_watch *watch)
{
    (void)self;
    (void)bucket;
    (void)key;
    (void)wanted;
    (void)watch;
    return -ENOSYS;
}

int objects_read(objects_t *self, const struct objects_get *get, struct object_info *ret_info)
{
    (void)self;
    (void)get;
    (void)ret_info;
    return -ENOSYS;
}

int objects_get_file(objects_t *self, const char *bucket, const char *key, const char *path,
                     const struct objects_watch *watch, struct object_info *ret_info)
{
    (void)self;
    (void)bucket;
    (void)key;
    (void)path;
    (void)watch;
    (void)ret_info;
    return -ENOSYS;
}

int objects_presign(const objects_t *self, const char *method, const char *endpoint,
                    const char *bucket, const char *key, uint32_t seconds,
                    char ret_url[OBJECTS_URL_MAX])
{
    (void)self;
    (void)method;
    (void)endpoint;
    (void)bucket;
    (void)key;
    (void)seconds;
    (void)ret_url;
    return -ENOSYS;
}

int objects_url(const objects_t *self, const char *bucket, const char *key,
                char ret_url[OBJECTS_URL_MAX])
{
    (void)self;
    (void)bucket;
    (void)key;
    (void)ret_url;
    return -ENOSYS;
}

int objects_locate(const objects_t *self, const char *bucket, struct slice text,
                   char ret_bucket[OBJECTS_BUCKET_MAX + 1], char ret_key[OBJECTS_KEY_MAX + 1])
{
    (void)self;
    (void)bucket;
    (void)text;
    (void)ret_bucket;
    (void)ret_key;
    return -ENOSYS;
}

bool objects_bucket_valid(const char *bucket)
{
    (void)bucket;
    return false;
}

bool objects_key_valid(const char *key)
{
    (void)key;
    return false;
}

int objects_of_settings(const struct settings *settings, objects_t **ret_objects, char ret_why[256])
{
    (void)settings;
    (void)ret_objects;
    (void)ret_why;
    return -ENOSYS;
}
