#include "services/state/batch.h"

#include "common/status.h"

#include <errno.h>
#include <stdlib.h>

enum { BATCHES_KEPT = 64 };

struct item {
    void *message;
    uint32_t index;
};

struct batch {
    batches_t *owner;
    batch_t *next; /* among the spare ones */
    uint32_t count;
    struct item items[BATCH_ITEMS_MAX];
};

/* A call being gathered. The command's memory stays here when the batch goes. */
struct gather {
    struct command command;
    batch_t *batch; /* NULL: not in use */
    size_t key_size;
    uint8_t key[BATCH_KEY_MAX];
};

struct batches {
    const struct batches_row *row;
    void *arg;
    batch_t *spare;
    uint32_t spares;
    uint32_t open; /* gathers in use, the first of the array */
    struct gather gathers[BATCHES_OPEN_MAX];
};

batches_t *batches_new(const struct batches_row *row, void *arg)
{
    batches_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->row = row;
    self->arg = arg;
    return self;
}

void batches_destroy(batches_t **self_p)
{
    batches_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t i = 0; i < BATCHES_OPEN_MAX; i++) {
        command_clear(&self->gathers[i].command);
        free(self->gathers[i].batch);
    }
    for (batch_t *batch = self->spare; batch;) {
        batch_t *next = batch->next;
        free(batch);
        batch = next;
    }
    free(self);
}

static batch_t *take(batches_t *self)
{
    batch_t *batch = self->spare;
    if (batch) {
        self->spare = batch->next;
        self->spares--;
    } else {
        batch = malloc(sizeof *batch);
    }
    if (batch) {
        batch->owner = self;
        batch->count = 0;
    }
    return batch;
}

static void give(batches_t *self, batch_t *batch)
{
    if (self->spares >= BATCHES_KEPT) {
        free(batch);
        return;
    }
    batch->next = self->spare;
    self->spare = batch;
    self->spares++;
}

void batch_end(batch_t *batch, int status, const void *result)
{
    batches_t *self = batch->owner;
    for (uint32_t i = 0; i < batch->count; i++)
        self->row->ended(self->arg, batch->items[i].message, batch->items[i].index, status, result,
                         i);
    give(self, batch);
}

uint32_t batch_count(const batch_t *batch)
{
    return batch->count;
}

void *batch_arg(const batch_t *batch)
{
    return batch->owner->arg;
}

static void send_off(batches_t *self, struct gather *gather)
{
    batch_t *batch = gather->batch;
    gather->batch = NULL;
    struct slice command = command_end(&gather->command);
    int r = command.data ? self->row->send(self->arg, command, batch) : -ENOMEM;
    if (r)
        batch_end(batch, r, NULL);
}

void batches_flush(batches_t *self)
{
    uint32_t open = self->open;
    self->open = 0;
    for (uint32_t i = 0; i < open; i++)
        send_off(self, &self->gathers[i]);
}

static struct gather *find(batches_t *self, struct slice key)
{
    for (uint32_t i = 0; i < self->open; i++) {
        struct gather *gather = &self->gathers[i];
        if (slice_equal(slice_make(gather->key, gather->key_size), key))
            return gather;
    }
    return NULL;
}

static bool full(const struct gather *gather)
{
    return gather->batch->count == BATCH_ITEMS_MAX || gather->command.size > BATCH_BYTES_MAX;
}

static struct gather *open_gather(batches_t *self, struct slice key)
{
    batch_t *batch = key.size <= BATCH_KEY_MAX ? take(self) : NULL;
    if (!batch)
        return NULL;
    struct gather *gather = &self->gathers[self->open++];
    gather->batch = batch;
    gather->key_size = key.size;
    memcpy(gather->key, key.data, key.size);
    self->row->begin(self->arg, &gather->command, key);
    return gather;
}

struct command *batches_add(batches_t *self, struct slice key, void *message, uint32_t index)
{
    struct gather *gather = find(self, key);
    bool no_room = gather ? full(gather) : self->open == BATCHES_OPEN_MAX;
    if (no_room) {
        batches_flush(self); /* all, so that calls keep the order of their messages */
        gather = NULL;
    }
    if (!gather)
        gather = open_gather(self, key);
    if (!gather)
        return NULL;
    gather->batch->items[gather->batch->count++] = (struct item){ message, index };
    return &gather->command;
}
