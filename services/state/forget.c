/* FORGET: the record goes in one call; then, in a thread, the folders, and then the objects.
 *
 * The record goes first: while it is there it promises what lies in the folder, so a reuse hit
 * would hand out what is gone. Whatever we are killed at, clean-up finds the rest and forgets it
 * again: a folder without a record; and for the objects an empty one, see removal.c.
 *
 * Another task of the same id may begin at any time. Before the record goes it makes it a CONFLICT,
 * as it lives, or as it has ended later than ended_before_ms. Once the record has gone, the folder
 * is moved aside by one rename: what the new task makes from then on is its own. In the moment
 * between the two its attempt may lose its folder under its hands, and fails as with any lost file;
 * another attempt makes it anew. */
#include "common/log.h"
#include "common/status.h"
#include "services/state/ref.h"
#include "services/state/removal.h"
#include "services/state/reply.h"

#include <errno.h>
#include <stdlib.h>

enum { REPLY_FIELDS = 2, RESOURCES = 3 };
#define TIME_MOST_MS ((uint64_t)1 << 53) /* as far as the functions count */

/* Folders and objects being removed. It keeps the state. */
struct forgetting {
    uv_work_t work;
    ask_t *ask;
    state_t *state;
    bool had_record, forced;
    struct slice id; /* in the ask's body */
    struct removal removal;
};

struct resource {
    const char *name, *status, *message;
    bool failed, retriable;
};

static void pack_resource(const struct resource *resource, msgpack_packer *pk)
{
    const bool said = *resource->message != 0;
    msgpack_pack_map(pk, 2u + (said ? 1 : 0) + (resource->failed ? 1 : 0));
    pack_text(pk, "resource");
    pack_text(pk, resource->name);
    pack_text(pk, "status");
    pack_text(pk, resource->status);
    if (said) {
        pack_text(pk, "message");
        pack_text(pk, resource->message);
    }
    if (!resource->failed)
        return;
    pack_text(pk, "retriable");
    pack_raw(pk, resource->retriable ? SLICE("\xc3") : SLICE("\xc2"));
}

static const char *outcome(const struct resource *resources)
{
    size_t failed = 0, deleted = 0;
    for (size_t i = 0; i < RESOURCES; i++) {
        failed += resources[i].failed;
        deleted += strcmp(resources[i].status, "deleted") == 0;
    }
    if (failed == 0)
        return "success";
    return deleted ? "partial_failed" : "failed";
}

static struct resource resource_of(const char *name, const struct storage_removal *removal)
{
    static const char *const fates[] = { "deleted", "skipped", "failed" };
    return (struct resource){ name, fates[removal->fate], removal->message,
                              removal->fate == STORAGE_FAILED, removal->retriable };
}

static void tell(struct forgetting *self)
{
    const struct resource resources[RESOURCES] = {
        resource_of("local_directory", &self->removal.folders),
        { "redis", self->had_record ? "deleted" : "skipped",
          self->had_record ? "" : "there is no record", false, false },
        resource_of("minio", &self->removal.objects),
    };
    msgpack_sbuffer results;
    msgpack_packer pk;
    msgpack_sbuffer_init(&results);
    msgpack_packer_init(&pk, &results, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, RESOURCES);
    for (size_t i = 0; i < RESOURCES; i++)
        pack_resource(&resources[i], &pk);
    const struct m_forgotten forgotten = { .status = slice_of(outcome(resources)),
                                           .results = slice_make(results.data, results.size) };
    message_encode(&m_forgotten_layout, &forgotten, state_packer(self->state));
    msgpack_sbuffer_destroy(&results);
    ask_answer(&self->ask, STATUS_OK, 0, state_packed(self->state));
}

static void warn(const struct forgetting *self, const char *event,
                 const struct storage_removal *removal)
{
    if (removal->fate == STORAGE_FAILED)
        log_event_seldom(LOG_LEVEL_WARN, event, "task=%.*s why=%s", SLICE_ARG(self->id),
                         removal->message);
}

static void on_removed(uv_work_t *work, int status)
{
    struct forgetting *self = work->data;
    state_t *state = self->state;
    static const struct storage_removal stopped = { STORAGE_FAILED, true,
                                                    "the service was stopped" };
    if (status) /* the program ends, and the thread never came to it */
        self->removal = (struct removal){ stopped, stopped };
    const struct m_ref ref = { .id = self->id };
    warn(self, "folder_left", &self->removal.folders);
    warn(self, "objects_left", &self->removal.objects);
    if (state->stopping)
        ask_drop(&self->ask);
    else if (!self->had_record && removal_missing(&self->removal))
        ref_missing(&self->ask, &ref);
    else
        tell(self);
    free(self);
    state_let_go(state);
}

static void remove_rest(uv_work_t *work)
{
    struct forgetting *self = work->data;
    removal_run(self->state->settings, self->id, self->had_record, self->forced, &self->removal);
}

static void forget_rest(ask_t *ask, const struct m_forget *said, bool had_record)
{
    state_t *state = ask->state;
    struct forgetting *self = calloc(1, sizeof *self);
    if (!self) {
        ask_fail(&ask, -ENOMEM, NULL);
        return;
    }
    self->work.data = self;
    self->ask = ask;
    self->state = state;
    self->id = said->id;
    self->had_record = had_record;
    self->forced = said->force && had_record;
    int r = uv_queue_work(program_loop(state->program), &self->work, remove_rest, on_removed);
    if (r == 0) {
        state_keep(state);
        return;
    }
    free(self);
    ask_fail(&ask, r, NULL);
}

static void refuse_living(ask_t **ask_p, int64_t living)
{
    struct refusal why = { 0 };
    if (living == 0)
        refusal_say(&why, STATUS_CONFLICT, "ended_before_ms",
                    "it has ended since, or has a record now: what is there is another run's");
    else
        refusal_say(&why, STATUS_CONFLICT, "id",
                    "%lld of its stages have not ended: cancel it first, or force it",
                    (long long)living);
    ask_refuse(ask_p, &why);
}

/* A status, and how many stages there were, or have not ended. */
static void on_forgotten(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_forget said;
    if (!status && !reply_is_array(reply, REPLY_FIELDS))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    (void)message_decode(&m_forget_layout, ask_body(ask), &said, NULL); /* forget_asked saw it */
    const int64_t word = reply_whole(reply->element[0]);
    if (word == STATUS_CONFLICT) {
        refuse_living(&ask, reply_whole(reply->element[1]));
        return;
    }
    if (ask->state->stopping) /* no new thread */
        ask_drop(&ask);
    else
        forget_rest(ask, &said, word != STATUS_NOT_FOUND);
}

static int time_check(uint64_t at_ms, struct refusal *why)
{
    if (at_ms <= TIME_MOST_MS)
        return 0;
    return refusal_say(why, STATUS_INVALID, "ended_before_ms",
                       "is no time: milliseconds since 1970");
}

void forget_asked(state_t *self, ask_t *ask)
{
    struct m_forget said;
    struct refusal why = { 0 };
    if (!state_read(&ask, &m_forget_layout, &said))
        return;
    const struct m_ref ref = { .id = said.id };
    if (ref_check(&ref, &why) || time_check(said.ended_before_ms, &why)) {
        ask_refuse(&ask, &why);
        return;
    }
    struct command *command = store_function(self->store, "forget");
    command_arg(command, said.id);
    command_whole(command, said.force ? 1 : 0);
    if (said.ended_before_ms)
        command_whole(command, said.ended_before_ms);
    state_call(ask, command, on_forgotten);
}
