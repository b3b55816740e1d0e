#pragma once
/* Who is connected: one entry a routing id and role. Knows no socket and no clock: the caller
 * passes the time in. Entries are allocated at HELLO and never on the way of a message. */
#include "broker/unread.h"
#include "common/slice.h"
#include "proto/message.h"

/* Each role has a socket of its own; routing ids are unique only within it. */
enum peer_role { PEER_CLIENT, PEER_WORKER, PEER_STATE, PEER_OPERATOR, PEER_ROLES };
/* As HELLO says it: "client". */
const char *peer_role_text(enum peer_role role);

/* Safe to keep for ever: finds nothing once the peer is gone, even when its slot is another's by
 * then. */
struct peer_ref {
    uint32_t index;
    uint32_t generation; /* 0: no peer at all */
};

struct seat;

struct peer {
    struct peer_ref ref;
    enum peer_role role;
    struct slice id;      /* routing id */
    struct m_hello hello; /* all zero for an operator, who says none; borrows from the entry */
    int64_t connected_ms;
    int64_t heard_ms;
    struct seat *seat; /* of a worker: its credit, see credit.h; the caller's to end */
    uint32_t open;     /* requests under way that do not just wait: what a window counts */
    unread_t *unread;  /* large answers it has not read; NULL: there was none yet */
};

typedef struct peers peers_t;

enum { PEER_ID_MAX = 255, PEER_HELLO_MAX = 4096 };

/* NULL when out of memory. */
peers_t *peers_new(uint32_t max);
void peers_destroy(peers_t **self_p);

/* hello is a checked body, or empty; it is copied. The id must not be in the table yet. 0,
 * STATUS_BUSY, STATUS_TOO_LARGE (hello has more than PEER_HELLO_MAX bytes), what message_decode
 * answers, -ENOMEM. */
int peers_add(peers_t *self, enum peer_role role, struct slice id, struct slice hello,
              int64_t now_ms, struct peer **ret_peer);
void peers_remove(peers_t *self, struct peer **peer_p);

/* NULL when there is none. */
struct peer *peers_find(const peers_t *self, enum peer_role role, struct slice id);
struct peer *peers_at(const peers_t *self, struct peer_ref ref);
/* The worker with this session, or NULL. Walks over all: for HELLO only. */
struct peer *peers_of_session(const peers_t *self, struct slice session);

/* The next one of a role at or after *cursor, which starts at 0; NULL at the end. The one returned
 * may be removed before going on. */
struct peer *peers_next(const peers_t *self, enum peer_role role, uint32_t *cursor);
/* The next one of a role that was last heard before; as peers_next. */
struct peer *peers_silent(const peers_t *self, enum peer_role role, int64_t before_ms,
                          uint32_t *cursor);
/* Everybody counts as heard now: the silence was our own. */
void peers_forgive(peers_t *self, int64_t now_ms);

uint32_t peers_count(const peers_t *self, enum peer_role role);
