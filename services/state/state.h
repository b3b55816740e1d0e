#pragma once
/* gantry-state: the only one that speaks to Redis. It keeps nothing of its own, so any number of
 * them may run, and any may die. This header is what its files share; program.h is all others need.
 */
#include "proto/attach.h"
#include "proto/codec.h"
#include "proto/session.h"
#include "services/state/ask.h"
#include "services/state/audit.h"
#include "services/state/batch.h"
#include "services/state/catalogue.h"
#include "services/state/depths.h"
#include "services/state/large.h"
#include "services/state/program.h"
#include "services/state/store.h"
#include "services/state/updates.h"
#include "services/state/waits.h"

enum { BROKERS_MAX = 16, CLAIM_COUNTERS = 64 };

struct broker {
    state_t *state;
    session_t *session;
    attach_t *attach;
    char *endpoint;
    uint32_t epoch, body_max; /* as its last WELCOME said */
};

struct looks;
struct events;
struct creation;
typedef struct space space_t;
typedef struct disk disk_t;

struct state {
    program_t *program;
    const struct settings *settings;
    store_t *store;
    /* reads that take long, of one record, and of those that end: none delays another kind */
    large_t *large, *records, *ends;
    struct events *events;
    audit_t *audit;
    space_t *space;        /* how much is free */
    disk_t *disk;          /* and what is used */
    bool space_asked;      /* what is submitted is looked at for the room it needs */
    bool stopping;         /* nothing is answered any more */
    uint32_t submits_open; /* calls under way */

    struct broker brokers[BROKERS_MAX];
    size_t brokers_count;
    char host[128];
    char name[128]; /* as brokers show it */

    batches_t *submits, *finishes, *returns;
    waits_t *waits;
    struct looks *looks;
    waits_t *subs;     /* the parked ones of subscribe.c: id and service, or empty */
    size_t subs_count; /* with those whose call is under way */
    size_t wide_count; /* those of them that want more than one task's */

    depths_t *depths;

    catalogue_t *catalogue;
    bool catalogue_asked; /* a reading is under way */
    bool catalogue_again; /* and another one is wanted after it */
    /* submits whose node was not known, until the reading under way has ended */
    struct asks unsure;
    struct asks unsure_next; /* those that came after it was asked for */

    struct asks claims_asked;       /* in this turn */
    uint8_t claims[CLAIM_COUNTERS]; /* calls made, by hash of the service: every eighth is lowest
                                       first */

    uv_timer_t sweep;  /* each second */
    uv_timer_t expiry; /* of waits; runs while there are any */
    uv_timer_t due;    /* of what waits for its time in Redis; see timers.c */
    bool due_asked;
    int64_t due_next_ms;    /* by Redis' clock: the earliest known of, or 0 */
    int64_t crons_rest_ms;  /* schedules wait until then: Redis took no call */
    int64_t redis_ahead_ms; /* of clock_ms(), as Redis last said */
    uv_timer_t farewell;    /* lets the BYEs leave */
    int kept;               /* by open handles, and by what threads do; 0 frees */
    uint32_t spare_asks_count;
    uint32_t creations; /* under way */
    struct creation *unsure_creations;
    int64_t created_dropped; /* one more than was seen last; 0: not looked yet */
    bool external_waits;     /* some wait for what an outside processor has */

    struct m_task *tasks;   /* scratch of one message */
    struct slice finishing; /* the worker of the result being added */
    ask_t *spare_asks;
    msgpack_sbuffer packed; /* scratch of one answer */
    msgpack_packer packer;
};

/* ITEMS_MAX: of one message; what a function takes at most. */
enum { ITEMS_MAX = 1024 };

/* The answer's buffer, emptied. Out of memory while packing: state_packed() is cut short, and what
 * is not whole is refused by who reads it. */
msgpack_packer *state_packer(state_t *self);
struct slice state_packed(const state_t *self);

/* Calls the function that was begun with store_function(); done gets the ask and must end it. */
void state_call(ask_t *ask, struct command *command, redis_done_fn *done);
/* The same where the answer may be large, in its turn. */
void state_call_large(ask_t *ask, large_t *large, struct command *command, redis_done_fn *done);

/* Every handler takes the ask. Its body passed codec_check, or is empty. */
typedef void verb_fn(state_t *self, ask_t *ask);
verb_fn submit_asked, claim_asked, done_asked, return_asked, heartbeat_asked, bye_asked, get_asked,
    cancel_asked, wait_asked, list_asked, queues_asked, register_asked, nodes_asked, ledger_asked,
    subscribe_asked, why_asked, replay_asked, purge_asked, steer_asked, cron_asked, forget_asked,
    tasks_asked, disk_asked, create_task_asked, get_task_status_asked;

/* The state lives on until what keeps it has let it go, each once. */
void state_keep(state_t *self);
void state_let_go(state_t *self);

/* Decodes the body, or refuses the ask: false. */
bool state_read(ask_t **ask_p, const struct message_layout *layout, void *m);
/* The items of a batch: their number agrees with the header's and is 1..ITEMS_MAX, else the ask is
 * refused. */
bool state_read_batch(ask_t **ask_p, struct reader *ret_reader, uint32_t *ret_count);

/* Batches: rows, and the last item's end. */
extern const struct batches_row submit_row, finish_row, return_row;
/* An item was decided (or failed, see ask_trouble); after the last one the message is answered. */
void state_verdict(ask_t *ask);
void submit_pack(const ask_t *ask, uint32_t index, msgpack_packer *pk);
void finish_pack(const ask_t *ask, uint32_t index, msgpack_packer *pk);

/* Sends the submits that were gathered, unless Redis is busy with others: then they go, with those
 * that still come, when it has answered. Claims that were asked behind them are not kept waiting.
 */
void submits_flush(state_t *self);
/* Claims go last of a turn, so that one finds what was submitted right before it. */
void claims_flush(state_t *self);

/* Redis' wall clock, as far as it is known. */
int64_t state_now_ms(const state_t *self);

/* What a task's limits are: the submit says it, else the node, else the settings. */
struct limits submit_limits(const state_t *state, const struct m_task *task);
/* gantry_submit's arguments before the tasks. queue_max 0: what would run is BUSY, and the rest is
 * answered. */
void submit_head(const state_t *self, struct command *command, struct slice service,
                 uint32_t priority, uint64_t queue_max);
/* The disk was looked at. */
void state_space_changed(state_t *self);

/* Nodes. */
void nodes_refresh(state_t *self);
/* Keeps a submit, or a schedule, until the catalogue was read anew. */
void nodes_unsure(state_t *self, ask_t *ask);

/* Waits. */
int looks_new(state_t *self);
void looks_destroy(state_t *self);
/* A stage of this task has ended, by whomever. */
void looks_ended(state_t *self, struct slice id);
/* A result of this task goes out in this turn: who waits is answered by a look right behind it. */
void looks_ending(state_t *self, struct slice id);
/* Whatever waits is looked up again. */
void looks_all(state_t *self);
void looks_flush(state_t *self);
/* What outside processors have tells of no event: those who wait for it look, once a second. */
void looks_external(state_t *self);
/* The broker sends again what it asked before. */
void waits_forget(state_t *self, const struct broker *broker);

/* True: so many wait, with those who subscribe, that one more is refused, as why says. */
bool waits_full(const state_t *self, struct refusal *why);
/* Something is parked: its time is looked at. */
void expiry_start(state_t *self);

/* Subscribers. Updates were read that follow on all that was read before. */
void subs_tell(state_t *self, const struct updates *updates);
/* What comes after this number was missed, or is another store's: they shall ask again. */
void subs_jump(state_t *self, uint64_t newest);
void subs_expire(state_t *self, int64_t now_ms);
/* As waits_forget; broker NULL: all of them. */
void subs_forget(state_t *self, const struct broker *broker);

/* What waits for its time. */
void timers_now(state_t *self);
/* Somebody wrote a timer that is due then, by Redis' clock. */
void timers_hear(state_t *self, int64_t due_ms);

/* A schedule whose slot has come and, as far as is known, has not fired; now is Redis'. Called
 * again until it has. */
void cron_due(state_t *self, struct slice name, int64_t slot_ms, int64_t now_ms);

/* The schedule of clean-up, see cron_cleanup.c. 0, or -errno after logging what is wrong with it.
 */
int cron_cleanup_check(const state_t *self);
/* Sets it, unless it is so. */
void cron_cleanup_see(state_t *self);

/* Follows what other state services write. NULL when out of memory. */
struct events *events_new(state_t *state);
void events_destroy(struct events **self_p);
/* Number up to which it has read. */
uint64_t events_newest(const struct events *self);

/* Sends what was gathered in this turn. */
void state_flush(state_t *self);

/* Created tasks: those of which it is not known whether Redis has them are asked for again. */
void creations_again(state_t *self);
void creations_drop(state_t *self);
/* What a claim of their service has more than others. */
void created_limits(const state_t *self, struct command *command);
/* Looks what others put into the list. */
void created_look(state_t *self);

/* Brokers: one session to each endpoint of state.brokers. 0, or -errno (logged). */
int brokers_new(state_t *self);
/* Says BYE to all. */
void brokers_leave(state_t *self);
void brokers_destroy(state_t *self);
/* Tells all that a queue has work. */
void state_say_ready(state_t *self, struct slice service);
