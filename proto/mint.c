#include "proto/mint.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

int mint_bytes(void *bytes, size_t size)
{
    uint8_t *at = bytes;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
    return 0;
}

int mint_take(struct mint *self, void *bytes, size_t size)
{
    int r = self->left < size ? mint_bytes(self->bytes, sizeof self->bytes) : 0;
    if (r)
        return r;
    if (self->left < size)
        self->left = sizeof self->bytes;
    self->left -= size;
    memcpy(bytes, self->bytes + self->left, size);
    return 0;
}

/* uuid_generate would ask the kernel for every single one. */
void mint_uuid(const uint8_t bytes[MINT_UUID_SIZE], char text[MINT_UUID_TEXT])
{
    uuid_t uuid = { 0 };
    memcpy(uuid, bytes, sizeof uuid);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    uuid_unparse_lower(uuid, text);
}
