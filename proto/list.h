#pragma once
/* Rings of links that lie within the structs they hold together: a struct is in one ring or in
 * none, and leaves it without knowing which. A ring is a link of its own; an idle link points at
 * itself. */
#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *before;
    struct link *after;
};

/* The struct of type T whose member is the link. */
#define link_owner(link, T, member) ((T *)(void *)((char *)(link)-offsetof(T, member)))

static inline void link_init(struct link *self)
{
    self->before = self->after = self;
}

static inline bool link_idle(const struct link *self)
{
    return self->after == self;
}

static inline void link_remove(struct link *self)
{
    self->before->after = self->after;
    self->after->before = self->before;
    link_init(self);
}

/* Out of where it is, into ring: last, or just before another link of it. */
static inline void link_append(struct link *ring, struct link *link)
{
    link_remove(link);
    link->before = ring->before;
    link->after = ring;
    ring->before->after = link;
    ring->before = link;
}

/* NULL when the ring is empty. */
static inline struct link *link_first(const struct link *ring)
{
    return ring->after == ring ? NULL : ring->after;
}

/* Everything of from, in its order, to the end of ring. */
static inline void link_append_all(struct link *ring, struct link *from)
{
    if (link_idle(from))
        return;
    from->after->before = ring->before;
    ring->before->after = from->after;
    from->before->after = ring;
    ring->before = from->before;
    link_init(from);
}
