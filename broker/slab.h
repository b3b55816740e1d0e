#pragma once
/* Items of one size, numbered from 0, that never move. Memory comes in chunks as it is needed and
 * is kept for the next taker, so a table may be allowed a million items and cost nothing while it
 * is empty. */
#include <stddef.h>
#include <stdint.h>

typedef struct slab slab_t;

/* NULL when out of memory. At most max items are taken at once. */
slab_t *slab_new(size_t item_size, uint32_t max);
void slab_destroy(slab_t **self_p);

/* NULL: max are taken, or out of memory. A chunk is zeroed when it is new; later an item holds what
 * its last holder left in it, so that generations can live there. */
void *slab_take(slab_t *self, uint32_t *ret_index);
void slab_give(slab_t *self, uint32_t index);
/* Taken or given back; NULL for a number that was never taken. */
void *slab_at(const slab_t *self, uint32_t index);

uint32_t slab_taken(const slab_t *self);
/* One more than the greatest number ever taken: for walking over all. */
uint32_t slab_reach(const slab_t *self);
