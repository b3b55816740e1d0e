#include "broker/slab.h"

#include <stdbool.h>
#include <stdlib.h>

enum { CHUNK = 256 };

static const uint32_t none = UINT32_MAX; /* ends the list of those given back */

struct slab {
    size_t item_size;
    uint32_t max;
    uint32_t reach; /* items below it were taken once */
    uint32_t taken;
    uint32_t free; /* first of those given back, or none */
    uint32_t *
        *nexts; /* a chunk of these beside each chunk of items: the list of those given back */
    char *chunks[];
};

slab_t *slab_new(size_t item_size, uint32_t max)
{
    size_t chunks = (max + (size_t)CHUNK - 1) / CHUNK;
    slab_t *self = calloc(1, sizeof *self + chunks * sizeof *self->chunks);
    if (!self)
        return NULL;
    self->item_size = item_size;
    self->max = max;
    self->free = none;
    self->nexts = calloc(chunks + 1, sizeof *self->nexts);
    if (!self->nexts)
        slab_destroy(&self);
    return self;
}

void slab_destroy(slab_t **self_p)
{
    slab_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; self->nexts && self->nexts[i]; i++) {
        free(self->nexts[i]);
        free(self->chunks[i]);
    }
    free(self->nexts);
    free(self);
}

static bool grow(slab_t *self, size_t chunk)
{
    char *items = calloc(CHUNK, self->item_size);
    uint32_t *next = items ? calloc(CHUNK, sizeof *next) : NULL;
    if (!next) {
        free(items);
        return false;
    }
    self->chunks[chunk] = items;
    self->nexts[chunk] = next;
    return true;
}

void *slab_take(slab_t *self, uint32_t *ret_index)
{
    uint32_t index = self->free;
    if (index != none) {
        self->free = self->nexts[index / CHUNK][index % CHUNK];
    } else {
        index = self->reach;
        if (index == self->max || (index % CHUNK == 0 && !grow(self, index / CHUNK)))
            return NULL;
        self->reach++;
    }
    self->taken++;
    *ret_index = index;
    return slab_at(self, index);
}

void slab_give(slab_t *self, uint32_t index)
{
    self->nexts[index / CHUNK][index % CHUNK] = self->free;
    self->free = index;
    self->taken--;
}

void *slab_at(const slab_t *self, uint32_t index)
{
    if (index >= self->reach)
        return NULL;
    return self->chunks[index / CHUNK] + (index % CHUNK) * self->item_size;
}

uint32_t slab_taken(const slab_t *self)
{
    return self->taken;
}

uint32_t slab_reach(const slab_t *self)
{
    return self->reach;
}
