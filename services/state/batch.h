#pragma once
/* Gathers the items of many messages into few calls, and brings every call's end back to its items.
 * Items of one key go into one call, up to BATCH_ITEMS_MAX or BATCH_BYTES_MAX. Knows neither Redis
 * nor messages: a row says how a call begins and where it goes. */
#include "services/state/command.h"

enum {
    BATCH_ITEMS_MAX = 256,
    BATCH_BYTES_MAX = 1 << 20, /* a call that has grown so long takes no further item */
    BATCH_KEY_MAX = 48,
    BATCHES_OPEN_MAX = 64 /* keys gathered at a time; one more sends the others first */
};

typedef struct batches batches_t;
typedef struct batch batch_t;

struct batches_row {
    /* Writes the command of a key up to its first item. */
    void (*begin)(void *arg, struct command *command, struct slice key);
    /* 0: batch_end() will be called, now or later. Else what every item ends with. */
    int (*send)(void *arg, struct slice command, batch_t *batch);
    /* An item has ended: at is its place in the call. result is what batch_end() was given, NULL
     * when the call was not sent. */
    void (*ended)(void *arg, void *message, uint32_t index, int status, const void *result,
                  uint32_t at);
};

/* NULL when out of memory. row is borrowed for the batches' life. */
batches_t *batches_new(const struct batches_row *row, void *arg);
/* Every batch that was sent has ended by then; items that were not sent are forgotten. */
void batches_destroy(batches_t **self_p);

/* Where the caller is to write the item's arguments, at once. NULL when out of memory: the item is
 * not in. From then on ended() will be called once for it. */
struct command *batches_add(batches_t *self, struct slice key, void *message, uint32_t index);
/* Sends what was gathered. */
void batches_flush(batches_t *self);

/* Ends all items of a batch, in order, and takes it. */
void batch_end(batch_t *batch, int status, const void *result);
uint32_t batch_count(const batch_t *batch);
/* What batches_new() was given. */
void *batch_arg(const batch_t *batch);
