/* STEER: an operator's words, which Redis keeps. */
#include "common/paths.h"
#include "common/status.h"
#include "services/state/reply.h"
#include "services/state/state.h"

enum target { TARGET_NONE, TARGET_SERVICE, TARGET_WORKER };

static const struct {
    const char *action, *function;
    enum target target;
} rows[] = {
    { "pause", "pause", TARGET_SERVICE },  { "resume", "resume", TARGET_SERVICE },
    { "drain", "drain", TARGET_WORKER },   { "undrain", "undrain", TARGET_WORKER },
    { "audit", "audit_ask", TARGET_NONE },
};

enum { ROWS = sizeof rows / sizeof *rows, NAMES_MAX = 10000 };

static void on_steered(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    if (reply_whole(reply) < 0) {
        struct refusal why = { .scope = "names", .limit = NAMES_MAX, .current = NAMES_MAX };
        refusal_say(&why, STATUS_BUSY, NULL,
                    "as many are paused or draining as there may be: resume or undrain others");
        ask_refuse(&ask, &why);
        return;
    }
    const struct m_steered steered = { .changed = reply_whole(reply) > 0 };
    message_encode(&m_steered_layout, &steered, state_packer(ask->state));
    ask_answer(&ask, STATUS_OK, 0, state_packed(ask->state));
}

static int check(const struct m_steer *said, size_t *ret_row, struct refusal *why)
{
    size_t row = 0;
    while (row < ROWS && !slice_is(said->action, rows[row].action))
        row++;
    if (row == ROWS)
        return refusal_say(why, STATUS_INVALID, "action",
                           "must be pause, resume, drain, undrain or audit");
    if (rows[row].target == TARGET_SERVICE && !service_valid(said->service))
        return refusal_say(why, STATUS_INVALID, "service", "must be 1 to 32 of [a-z0-9_]");
    if (rows[row].target == TARGET_WORKER && !said->worker.size)
        return refusal_say(why, STATUS_INVALID, "worker", "must be the name of a worker");
    *ret_row = row;
    return 0;
}

void steer_asked(state_t *self, ask_t *ask)
{
    struct m_steer said;
    struct refusal why = { 0 };
    size_t row = 0;
    if (!state_read(&ask, &m_steer_layout, &said))
        return;
    if (check(&said, &row, &why)) {
        ask_refuse(&ask, &why);
        return;
    }
    struct command *command = store_function(self->store, rows[row].function);
    if (rows[row].target == TARGET_SERVICE)
        command_arg(command, said.service);
    else if (rows[row].target == TARGET_WORKER)
        command_arg(command, said.worker);
    state_call(ask, command, on_steered);
}
