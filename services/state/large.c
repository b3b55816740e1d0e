#include "services/state/large.h"

#include "common/status.h"

#include <errno.h>
#include <stdlib.h>

enum { WAITING_MAX = 65536 };

struct turn {
    struct turn *next;
    large_t *large;
    redis_done_fn *done;
    void *arg;
    size_t size;
    char command[];
};

struct large {
    store_t *store;
    struct turn *first, *last; /* those that wait */
    size_t waiting, open, at_once;
};

large_t *large_new(store_t *store, size_t at_once)
{
    large_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->store = store;
    self->at_once = at_once;
    return self;
}

void large_destroy(large_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

static void on_done(void *arg, int status, const redisReply *reply);

static int begin(large_t *self, struct turn *turn)
{
    int r = store_send(self->store, slice_make(turn->command, turn->size), on_done, turn);
    if (!r)
        self->open++;
    return r;
}

static void finish(struct turn *turn, int status, const redisReply *reply)
{
    turn->done(turn->arg, status, reply);
    free(turn);
}

static struct turn *take_first(large_t *self)
{
    struct turn *turn = self->first;
    self->first = turn->next;
    self->waiting--;
    return turn;
}

/* When the store went away, all who wait end here. */
static void on_done(void *arg, int status, const redisReply *reply)
{
    struct turn *turn = arg;
    large_t *self = turn->large;
    self->open--;
    finish(turn, status, reply);
    while (self->first && self->open < self->at_once) {
        struct turn *next = take_first(self);
        int r = begin(self, next);
        if (r)
            finish(next, r, NULL);
    }
}

int large_call(large_t *self, struct command *command, redis_done_fn *done, void *arg)
{
    const struct slice bytes = command_end(command);
    const bool wait = self->open >= self->at_once || self->first;
    if (!bytes.data)
        return -ENOMEM;
    if (wait && (self->waiting >= WAITING_MAX || !store_ready(self->store)))
        return store_ready(self->store) ? STATUS_BUSY : STATUS_UNAVAILABLE;
    struct turn *turn = malloc(sizeof *turn + bytes.size);
    if (!turn)
        return -ENOMEM;
    *turn = (struct turn){ .large = self, .done = done, .arg = arg, .size = bytes.size };
    memcpy(turn->command, bytes.data, bytes.size);
    if (!wait) {
        int r = begin(self, turn);
        if (r)
            free(turn);
        return r;
    }
    if (self->first)
        self->last->next = turn;
    else
        self->first = turn;
    self->last = turn;
    self->waiting++;
    return 0;
}
