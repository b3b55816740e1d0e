#include "broker/peer.h"

#include "broker/slab.h"
#include "common/status.h"

#include <errno.h>
#include <stdlib.h>

static const uint32_t none = UINT32_MAX; /* ends a chain */

/* In the table while bytes is set; a slot keeps its generation when it is given back. */
struct entry {
    struct peer peer;
    char *bytes; /* routing id, then the hello's body */
    uint32_t chain;
    uint32_t bucket;
};

struct peers {
    slab_t *slab;
    uint32_t max;
    uint32_t counts[PEER_ROLES];
    uint32_t mask;
    uint32_t buckets[]; /* chains of entries by role and routing id */
};

const char *peer_role_text(enum peer_role role)
{
    static const char *const texts[PEER_ROLES] = { "client", "worker", "state", "operator" };
    return texts[role];
}

peers_t *peers_new(uint32_t max)
{
    uint32_t buckets = 64;
    while (buckets < max && buckets < 1u << 20)
        buckets *= 2;
    peers_t *self = malloc(sizeof *self + buckets * sizeof *self->buckets);
    if (!self)
        return NULL;
    *self = (peers_t){ .max = max, .mask = buckets - 1 };
    for (uint32_t i = 0; i < buckets; i++)
        self->buckets[i] = none;
    self->slab = slab_new(sizeof(struct entry), max);
    if (!self->slab)
        peers_destroy(&self);
    return self;
}

static struct entry *entry_at(const peers_t *self, uint32_t index)
{
    return slab_at(self->slab, index);
}

static void clear(struct entry *entry)
{
    free(entry->bytes);
    entry->bytes = NULL;
    unread_drop(&entry->peer.unread);
}

void peers_destroy(peers_t **self_p)
{
    peers_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t i = 0; self->slab && i < slab_reach(self->slab); i++)
        clear(entry_at(self, i));
    slab_destroy(&self->slab);
    free(self);
}

static uint32_t bucket_of(const peers_t *self, enum peer_role role, struct slice id)
{
    return (uint32_t)(slice_hash(id) + (uint64_t)role * 0x9e3779b9u) & self->mask;
}

static char *copy(struct slice id, struct slice hello)
{
    char *bytes = malloc(id.size + hello.size + 1);
    if (!bytes)
        return NULL;
    if (id.size)
        memcpy(bytes, id.data, id.size);
    if (hello.size)
        memcpy(bytes + id.size, hello.data, hello.size);
    return bytes;
}

static void chain(peers_t *self, struct entry *entry)
{
    struct peer *peer = &entry->peer;
    entry->bucket = bucket_of(self, peer->role, peer->id);
    entry->chain = self->buckets[entry->bucket];
    self->buckets[entry->bucket] = peer->ref.index;
    self->counts[peer->role]++;
}

int peers_add(peers_t *self, enum peer_role role, struct slice id, struct slice hello,
              int64_t now_ms, struct peer **ret_peer)
{
    if (hello.size > PEER_HELLO_MAX || id.size > PEER_ID_MAX)
        return STATUS_TOO_LARGE;
    if (slab_taken(self->slab) == self->max)
        return STATUS_BUSY;
    char *bytes = copy(id, hello);
    if (!bytes)
        return -ENOMEM;
    struct m_hello said = { 0 };
    struct slice kept = slice_make(bytes + id.size, hello.size);
    int r = hello.size ? message_decode(&m_hello_layout, kept, &said, NULL) : 0;
    uint32_t index;
    struct entry *entry = r ? NULL : slab_take(self->slab, &index);
    if (!entry) {
        free(bytes);
        return r ? r : -ENOMEM;
    }
    uint32_t generation = entry->peer.ref.generation % UINT32_MAX + 1; /* never 0 */
    entry->bytes = bytes;
    entry->peer = (struct peer){ .ref = { index, generation },
                                 .role = role,
                                 .id = slice_make(bytes, id.size),
                                 .hello = said,
                                 .connected_ms = now_ms,
                                 .heard_ms = now_ms };
    chain(self, entry);
    *ret_peer = &entry->peer;
    return 0;
}

void peers_remove(peers_t *self, struct peer **peer_p)
{
    uint32_t index = (*peer_p)->ref.index;
    struct entry *entry = entry_at(self, index);
    *peer_p = NULL;
    uint32_t *at = &self->buckets[entry->bucket];
    while (*at != index)
        at = &entry_at(self, *at)->chain;
    *at = entry->chain;
    self->counts[entry->peer.role]--;
    clear(entry);
    slab_give(self->slab, index);
}

struct peer *peers_find(const peers_t *self, enum peer_role role, struct slice id)
{
    uint32_t at = self->buckets[bucket_of(self, role, id)];
    while (at != none) {
        struct entry *entry = entry_at(self, at);
        if (entry->peer.role == role && slice_equal(entry->peer.id, id))
            return &entry->peer;
        at = entry->chain;
    }
    return NULL;
}

struct peer *peers_at(const peers_t *self, struct peer_ref ref)
{
    struct entry *entry = ref.generation ? entry_at(self, ref.index) : NULL;
    bool same = entry && entry->bytes && entry->peer.ref.generation == ref.generation;
    return same ? &entry->peer : NULL;
}

struct peer *peers_of_session(const peers_t *self, struct slice session)
{
    uint32_t cursor = 0;
    for (struct peer *p; (p = peers_next(self, PEER_WORKER, &cursor));)
        if (slice_equal(p->hello.session, session))
            return p;
    return NULL;
}

struct peer *peers_next(const peers_t *self, enum peer_role role, uint32_t *cursor)
{
    while (*cursor < slab_reach(self->slab)) {
        struct entry *entry = entry_at(self, (*cursor)++);
        if (entry->bytes && entry->peer.role == role)
            return &entry->peer;
    }
    return NULL;
}

struct peer *peers_silent(const peers_t *self, enum peer_role role, int64_t before_ms,
                          uint32_t *cursor)
{
    for (struct peer *p; (p = peers_next(self, role, cursor));)
        if (p->heard_ms < before_ms)
            return p;
    return NULL;
}

void peers_forgive(peers_t *self, int64_t now_ms)
{
    for (uint32_t i = 0; i < slab_reach(self->slab); i++)
        entry_at(self, i)->peer.heard_ms = now_ms;
}

uint32_t peers_count(const peers_t *self, enum peer_role role)
{
    return self->counts[role];
}
