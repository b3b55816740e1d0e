/* CREATE_TASK: the file is moved in a thread, then one function makes the record and its place in
 * the list. Whatever goes wrong is undone; an answer of Redis that got lost is asked for again,
 * since undoing what was kept would lose the video. */
#include "common/clock.h"
#include "common/log.h"
#include "common/status.h"
#include "services/state/created.h"
#include "services/state/reply.h"
#include "services/state/space.h"
#include "services/state/state.h"
#include "services/state/video.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum { CREATIONS_MAX = 256, RETRY_CREATIONS_MS = 500 };

/* One call. It keeps the state. */
struct creation {
    uv_work_t work;
    struct creation *next; /* of those that Redis may have */
    state_t *state;
    ask_t *ask;
    struct video video;
    int result; /* of what the thread did */
    struct refusal why;
    bool maybe; /* a call whose answer was lost may have run */
    int64_t patience_ms;
};

/* ---- ends -------------------------------------------------------------------------------------
 */

static void finish(struct creation *self)
{
    state_t *state = self->state;
    video_close(&self->video);
    state->creations--;
    free(self);
    state_let_go(state);
}

static void answer(struct creation *self)
{
    const struct m_created_task created = { .task_id = slice_of(self->video.id) };
    message_encode(&m_created_task_layout, &created, state_packer(self->state));
    ask_answer(&self->ask, STATUS_OK, 0, state_packed(self->state));
    finish(self);
}

static void refuse(struct creation *self)
{
    if (self->why.status)
        ask_refuse(&self->ask, &self->why);
    else
        ask_fail(&self->ask, 0, NULL); /* as ask_trouble() was told */
    finish(self);
}

static void drop(struct creation *self)
{
    ask_drop(&self->ask);
    finish(self);
}

/* ---- undone -----------------------------------------------------------------------------------
 */

static void give_back(uv_work_t *work)
{
    struct creation *self = work->data;
    self->result = video_give_back(&self->video);
}

static void on_given_back(uv_work_t *work, int status)
{
    struct creation *self = work->data;
    if (status)
        give_back(work); /* the program ends, and the thread never came to it */
    if (self->result)
        log_event(LOG_LEVEL_ERROR, "video_left", "file=%s for=%s why=%s", self->video.place,
                  self->video.from, strerror(-self->result));
    if (self->state->stopping)
        drop(self);
    else
        refuse(self);
}

static void undo(struct creation *self)
{
    uv_loop_t *loop = program_loop(self->state->program);
    if (self->state->stopping || uv_queue_work(loop, &self->work, give_back, on_given_back))
        on_given_back(&self->work, UV_ECANCELED);
}

/* ---- the record -------------------------------------------------------------------------------
 */

static void record(struct creation *self);

/* Whether it was written is not known: asked again when Redis is back, for as long as a silent one
 * is waited for. */
static void wait_for_redis(struct creation *self)
{
    state_t *state = self->state;
    if (!self->maybe)
        self->patience_ms = clock_ms() + state->settings->redis_timeout_ms;
    self->maybe = true;
    self->next = state->unsure_creations;
    state->unsure_creations = self;
}

static void not_recorded(struct creation *self, int status, const redisReply *reply)
{
    ask_trouble(self->ask, status, reply);
    if (self->maybe && status == STATUS_UNAVAILABLE && clock_ms() < self->patience_ms)
        wait_for_redis(self);
    else
        undo(self);
}

static void on_recorded(void *arg, int status, const redisReply *reply)
{
    struct creation *self = arg;
    if (!status && (!reply || reply->type != REDIS_REPLY_INTEGER))
        status = STATUS_INTERNAL;
    if (!status)
        answer(self);
    else if (status == STATUS_UNAVAILABLE && !reply && self->state->stopping)
        drop(self); /* the call that is made again completes it, or finds it done */
    else if (status == STATUS_UNAVAILABLE && !reply && !self->maybe)
        wait_for_redis(self);
    else
        not_recorded(self, status, reply);
}

static void record(struct creation *self)
{
    state_t *state = self->state;
    struct command *command = store_function(state->store, "create");
    command_text(command, self->video.id);
    command_text(command, self->video.place);
    const int r = store_call(state->store, command, on_recorded, self);
    if (r)
        not_recorded(self, r, NULL);
}

void creations_again(state_t *self)
{
    struct creation *list = self->unsure_creations;
    self->unsure_creations = NULL;
    while (list) {
        struct creation *creation = list;
        list = creation->next;
        record(creation);
    }
}

void creations_drop(state_t *self)
{
    while (self->unsure_creations) {
        struct creation *creation = self->unsure_creations;
        self->unsure_creations = creation->next;
        drop(creation);
    }
}

/* ---- the file ---------------------------------------------------------------------------------
 */

/* No file, neither there nor here: the task may have been made, and be done with. */
static void on_looked(void *arg, int status, const redisReply *reply)
{
    struct creation *self = arg;
    struct created created;
    if (self->state->stopping) {
        drop(self);
    } else if (status) {
        self->why.status = 0;
        ask_trouble(self->ask, status, reply);
        refuse(self);
    } else if (created_read(reply, &created)) {
        answer(self);
    } else {
        refuse(self);
    }
}

static void look_for_record(struct creation *self)
{
    struct command *command = store_function(self->state->store, "task_status");
    command_text(command, self->video.id);
    const int r = store_call(self->state->store, command, on_looked, self);
    if (r)
        on_looked(self, r, NULL);
}

static void take(uv_work_t *work)
{
    struct creation *self = work->data;
    self->result = video_take(&self->video, &self->why);
}

static void on_taken(uv_work_t *work, int status)
{
    struct creation *self = work->data;
    if (status)
        drop(self);
    else if (self->state->stopping)
        undo(self);
    else if (self->result == 0)
        record(self);
    else if (self->result == STATUS_NOT_FOUND && self->video.again)
        look_for_record(self);
    else
        refuse(self);
}

/* ---- asked ------------------------------------------------------------------------------------
 */

static int check(const state_t *self, const struct m_create_task *said, struct refusal *why)
{
    const struct slice path = said->temp_file_path;
    if (path.size == 0 || *(const char *)path.data != '/')
        return refusal_say(why, STATUS_INVALID, "temp_file_path", "must be an absolute path");
    if (memchr(path.data, 0, path.size))
        return refusal_say(why, STATUS_INVALID, "temp_file_path", "has a NUL in it");
    if (said->token.size && said->token.size != WIRE_SUBMIT_TOKEN_SIZE)
        return refusal_say(why, STATUS_INVALID, "token", "must be %d random bytes",
                           WIRE_SUBMIT_TOKEN_SIZE);
    if (self->creations < CREATIONS_MAX)
        return space_check(self->space, why);
    why->scope = "creations";
    why->limit = CREATIONS_MAX;
    why->current = self->creations;
    why->retry_after_ms = RETRY_CREATIONS_MS;
    return refusal_say(why, STATUS_BUSY, NULL, "so many videos are being taken over already");
}

/* NULL: out of memory, or of random bytes. */
static struct creation *creation_new(ask_t *ask, const struct m_create_task *said)
{
    const struct settings *settings = ask->state->settings;
    struct creation *self = calloc(1, sizeof *self);
    unsigned char token[WIRE_SUBMIT_TOKEN_SIZE];
    if (!self)
        return NULL;
    self->video.again = said->token.size != 0;
    if (said->token.size) {
        memcpy(token, said->token.data, sizeof token);
    } else if (getrandom(token, sizeof token, 0) != sizeof token) {
        free(self);
        return NULL;
    }
    video_id(token, self->video.id);
    self->work.data = self;
    self->state = ask->state;
    self->ask = ask;
    self->video.local = settings->storage_local;
    self->video.roots = settings->storage_input_roots;
    self->video.given = said->temp_file_path;
    self->video.folder = self->video.above = -1;
    return self;
}

void create_task_asked(state_t *self, ask_t *ask)
{
    struct m_create_task said;
    struct refusal why = { 0 };
    if (!state_read(&ask, &m_create_task_layout, &said))
        return;
    if (check(self, &said, &why)) {
        if (why.scope && strcmp(why.scope, "disk") == 0)
            space_count_refused(self->space);
        ask_refuse(&ask, &why);
        return;
    }
    if (!store_ready(self->store)) {
        ask_fail(&ask, STATUS_UNAVAILABLE, NULL);
        return;
    }
    struct creation *creation = creation_new(ask, &said);
    int r = creation ? 0 : -ENOMEM;
    if (!r)
        r = uv_queue_work(program_loop(self->program), &creation->work, take, on_taken);
    if (r) {
        free(creation);
        ask_fail(&ask, r, NULL);
        return;
    }
    self->creations++;
    state_keep(self);
}
