/* A folder uploaded as it is: one object a file, in the order of their names. Those that the store
 * has already, by size and checksum, are not sent again. */
#include "services/worker/transfer_self.h"

#include "common/scoped.h"
#include "proto/codec.h"
#include "services/worker/folder_list.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>

enum { READ_BYTES = 1 << 16, CHECKSUM_HEX = 32 };

struct folder {
    objects_t *objects;
    const struct transfer_put *put;
    struct folder_list list;
    struct transfer_way way;
    size_t head; /* bytes of a key before the relative name */
};

static bool is_checksum(const char *etag)
{
    return strlen(etag) == CHECKSUM_HEX && strspn(etag, "0123456789abcdef") == CHECKSUM_HEX;
}

static int on_listed(void *arg, const char *key, const struct object_info *info)
{
    struct folder *self = arg;
    struct folder_file *file =
        strlen(key) > self->head ? folder_list_find(&self->list, key + self->head) : NULL;
    if (!file || file->bytes != info->bytes)
        return 0;
    file->there = true;
    if (is_checksum(info->etag))
        memcpy(file->checksum, info->etag, sizeof file->checksum);
    return 0;
}

static int list_there(struct folder *self, char *why)
{
    char prefix[OBJECTS_KEY_MAX + 2];
    int length = snprintf(prefix, sizeof prefix, "%s/", self->put->key);
    if (length < 0 || (size_t)length >= sizeof prefix)
        return transfer_says(STATUS_INVALID, why, "the key is too long");
    self->head = (size_t)length;
    int r = objects_list(self->objects, self->put->bucket, prefix, on_listed, self);
    return r ? transfer_failed(self->objects, r, self->put->bucket, why) : 0;
}

static void hex_of(const unsigned char *bytes, size_t size, char *ret_hex)
{
    for (size_t i = 0; i < size; i++)
        (void)snprintf(ret_hex + 2 * i, 3, "%02x", bytes[i]);
}

/* False when it cannot be read: then it is sent, which says why. */
static bool digest_of(const char *path, const EVP_MD *kind, char ret_hex[2 * EVP_MAX_MD_SIZE + 1])
{
    unsigned char buffer[READ_BYTES];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    FILE *file = fopen(path, "re");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = file && context && EVP_DigestInit_ex(context, kind, NULL) == 1;
    for (size_t n = 1; good && n > 0;) {
        n = fread(buffer, 1, sizeof buffer, file);
        good = EVP_DigestUpdate(context, buffer, n) == 1 && !ferror(file);
    }
    good = good && EVP_DigestFinal_ex(context, digest, &size) == 1;
    if (good)
        hex_of(digest, size, ret_hex);
    EVP_MD_CTX_free(context);
    if (file)
        (void)fclose(file);
    return good;
}

/* Size and checksum are those of the file here. */
static bool is_there(const struct folder *self, const struct folder_file *file, const char *key,
                     const char *path)
{
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    if (!file->there)
        return false;
    if (file->checksum[0])
        return digest_of(path, EVP_md5(), hex) && strcmp(hex, file->checksum) == 0;
    struct object_info wanted = { .bytes = file->bytes };
    if (!digest_of(path, EVP_sha256(), hex) || strlen(hex) >= sizeof wanted.sha256)
        return false;
    memcpy(wanted.sha256, hex, strlen(hex) + 1);
    return objects_verify(self->objects, self->put->bucket, key, &wanted, NULL) == 0;
}

static int put_one(struct folder *self, size_t index, char *why)
{
    const struct folder_file *file = &self->list.items[index];
    const char *name = folder_list_name(&self->list, index);
    char path[PATH_MAX];
    char key[OBJECTS_KEY_MAX + 1];
    int r = transfer_join(self->put->path, name, path, sizeof path, why);
    if (r == 0)
        r = transfer_join(self->put->key, name, key, sizeof key, why);
    if (r == 0 && !objects_key_valid(key))
        r = transfer_says(STATUS_INVALID, why, "%.300s cannot be the name of an object", name);
    if (r)
        return r;
    if (is_there(self, file, key, path)) {
        transfer_moved(&self->way, file->bytes);
        return 0;
    }
    struct object_info info = { 0 };
    const struct transfer_one one = { .objects = self->objects,
                                      .bucket = self->put->bucket,
                                      .key = key,
                                      .path = path,
                                      .content_type = transfer_type_of(name),
                                      .bytes = file->bytes,
                                      .verify = self->put->verify,
                                      .way = &self->way };
    return transfer_put_one(&one, &info, why);
}

static void name_all(const struct folder *self, struct packed *names)
{
    size_t count = self->list.count < TRANSFER_NAMES_MAX ? self->list.count : TRANSFER_NAMES_MAX;
    packed_clear(names);
    msgpack_packer pk = packed_packer(names);
    msgpack_pack_array(&pk, count);
    for (size_t i = 0; i < count; i++)
        pack_text(&pk, folder_list_name(&self->list, i));
}

static int put_all(struct folder *self, struct transfer_done *done, char *why)
{
    int r = folder_list_read(self->put->path, TRANSFER_FILES_MAX, &self->list, why, TRANSFER_WHY);
    if (r < 0)
        (void)transfer_says(r, why, "%.300s: %s", self->put->path, strerror(-r));
    self->way.total = self->list.bytes;
    if (r == 0)
        r = list_there(self, why);
    for (size_t i = 0; r == 0 && i < self->list.count; i++)
        r = put_one(self, i, why);
    if (r)
        return r;
    done->files = self->list.count;
    done->bytes = self->list.bytes;
    name_all(self, &done->names);
    if (objects_url(self->objects, self->put->bucket, self->put->key, done->url))
        return transfer_failed(self->objects, STATUS_INVALID, self->put->key, why);
    return 0;
}

int transfer_put_folder(engine_t *engine, objects_t *objects, const struct transfer_put *put,
                        struct transfer_done *ret_done, char ret_why[TRANSFER_WHY])
{
    struct folder self = { .objects = objects, .put = put, .way = { .engine = engine } };
    int r = put_all(&self, ret_done, ret_why);
    folder_list_clear(&self.list);
    return r;
}
