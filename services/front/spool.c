#include "services/front/spool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int spool_init(struct spool *self, struct front *front, int file, uint64_t at, EVP_MD_CTX *sum)
{
    *self = (struct spool){ .front = front, .file = file, .at = at, .sum = sum };
    self->fill = malloc(SPOOL_BLOCK);
    self->flush = malloc(SPOOL_BLOCK);
    if (self->fill && self->flush)
        return 0;
    spool_clear(self);
    return -ENOMEM;
}

void spool_clear(struct spool *self)
{
    assert(!self->writing);
    free(self->fill);
    free(self->flush);
    self->fill = self->flush = NULL;
}

size_t spool_room(const struct spool *self)
{
    return SPOOL_BLOCK - self->filled;
}

/* In a thread. */
static void on_write(void *arg)
{
    struct spool *self = arg;
    for (size_t done = 0; done < self->full && !self->error;) {
        const ssize_t size =
            pwrite(self->file, self->flush + done, self->full - done, (off_t)self->at);
        if (size < 0 && errno != EINTR)
            self->error = -errno;
        if (size <= 0)
            continue;
        done += (size_t)size;
        self->at += (uint64_t)size;
    }
    if (self->sum && EVP_DigestUpdate(self->sum, self->flush, self->full) != 1 && !self->error)
        self->error = -ENOMEM;
}

static void write_block(struct spool *self);

static void on_written(void *arg)
{
    struct spool *self = arg;
    self->writing = false;
    self->full = 0;
    if (self->filled >= SPOOL_EAGER && !self->error)
        write_block(self);
    self->moved(self->arg);
}

static void write_block(struct spool *self)
{
    char *block = self->fill;
    self->fill = self->flush;
    self->flush = block;
    self->full = self->filled;
    self->filled = 0;
    self->writing = true;
    pool_begin(self->front, &self->call, on_write, on_written, self);
}

void spool_put(struct spool *self, struct slice bytes)
{
    assert(bytes.size <= spool_room(self));
    memcpy(self->fill + self->filled, bytes.data, bytes.size);
    self->filled += bytes.size;
    if (self->filled >= SPOOL_EAGER && !self->writing && !self->error)
        write_block(self);
}

bool spool_flush(struct spool *self)
{
    if (!self->writing && self->filled && !self->error)
        write_block(self);
    return !self->writing;
}
