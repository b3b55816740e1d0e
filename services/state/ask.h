#pragma once
/* A broker's request while it is worked at. Whoever has it must bring it to exactly one end: every
 * call that ends it takes it. */
#include "proto/envelope.h"
#include "proto/message.h"
#include "services/state/refusal.h"

#include <hiredis/hiredis.h>

typedef struct state state_t;
typedef struct ask ask_t;
struct broker;

/* What became of one item of a batch. */
struct verdict {
    struct slice id, task;   /* borrowed from the ask's body; empty when it could not be read */
    struct refusal *refusal; /* owned; NULL when there is nothing to say */
    uint64_t current;        /* of a limit that was met */
    uint8_t status, state, reuse;
    bool refers; /* a submit whose inputs depend on other stages */
};

enum { ASK_FEW = 4, ASK_SERVICE_MAX = 32 };

struct ask {
    ask_t *next; /* in whatever list holds it */
    state_t *state;
    struct broker *broker;
    uint32_t
        epoch; /* of the broker: an answer to a former one would meet another's request number */
    uint32_t verb;
    uint64_t request;
    uint32_t priority;
    uint32_t count; /* header.count */
    uint32_t items; /* verdicts there are */
    uint32_t open;  /* items without verdict, plus one while items are handed out */
    int trouble; /* why the whole message is answered so: a status or -errno; 0 when all is well */
    bool redis_spoke; /* trouble is what Redis said, not that a call could not be made */
    bool second_look; /* the catalogue was read anew for it */
    uint8_t claims;   /* made anew, as none of what came could be told */
    uint8_t service_size;
    char service[ASK_SERVICE_MAX];
    zmq_msg_t body;
    struct verdict *verdicts; /* few, or allocated */
    struct verdict few[ASK_FEW];
};

/* Asks that wait for something, in the order in which they came. A zeroed one is empty. */
struct asks {
    ask_t *first, *last;
};

void asks_add(struct asks *self, ask_t *ask);
/* The oldest; NULL: there is none. */
ask_t *asks_take(struct asks *self);
/* Drops them all. */
void asks_drop(struct asks *self);

/* Takes body's bytes. NULL when out of memory. */
ask_t *ask_new(state_t *state, struct broker *broker, const struct header *header, zmq_msg_t *body);
struct slice ask_body(ask_t *self);
struct slice ask_service(const ask_t *self);
/* The broker that asked still has this request. */
bool ask_reachable(const ask_t *self);

/* Room for the verdicts of count items. 0 or -ENOMEM. */
int ask_items(ask_t *self, uint32_t count);
/* A verdict is that the item is refused. */
void ask_refuse_item(ask_t *self, uint32_t index, const struct refusal *why);

/* Answers. body NULL or empty: none. */
void ask_answer(ask_t **self_p, int status, uint32_t count, struct slice body);
void ask_refuse(ask_t **self_p, const struct refusal *why);
/* What is no fault of the peer: STATUS_UNAVAILABLE, STATUS_BUSY, STATUS_INTERNAL or -ENOMEM.
 * reply: Redis' error, or NULL when there is none. ask_trouble only remembers: all of a batch is
 * answered with it, since repeating under the same tokens is harmless; ask_fail answers (status 0:
 * with what was remembered). */
void ask_trouble(ask_t *self, int status, const redisReply *reply);
void ask_fail(ask_t **self_p, int status, const redisReply *reply);
/* Ends it without an answer: for the end of the program. */
void ask_drop(ask_t **self_p);
