/* CreateTask and GetTaskStatus of the task service. */
#include "proto/client.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>

enum {
    LOST_MS = 40000, /* longer than a broker holds a request: its answer was lost, ask again */
    PAUSE_MS = 250   /* after a refusal that does not say when to come again */
};

/* One try, as long as the deadline lets it. */
static int ask(gantry_client_t *self, uint32_t verb, struct slice body, int64_t deadline_ms,
               struct reply *ret_reply)
{
    const int64_t time = deadline_ms - clock_ms();
    struct request request = { .verb = verb, .timeout_ms = time < 1 ? 1 : time };
    if (time > LOST_MS)
        request.timeout_ms = LOST_MS;
    return client_call(self, &request, body, ret_reply);
}

static bool again(int status)
{
    return status == STATUS_BUSY || status == STATUS_UNAVAILABLE || status == STATUS_TIMEOUT;
}

/* True: it is to be asked once more, now. */
static bool wait_for_more(gantry_client_t *self, int status, int64_t deadline_ms)
{
    int64_t wait = self->error.retry_after_ms;
    if (wait == 0 && status != STATUS_TIMEOUT)
        wait = PAUSE_MS;
    const int64_t until_ms = clock_ms() + wait;
    if (until_ms >= deadline_ms)
        return false;
    for (int64_t left = wait; left > 0; left = until_ms - clock_ms())
        (void)client_turn(self, left);
    return true;
}

/* Until it is answered with something else than "not now". packed is borrowed. */
static int insist(gantry_client_t *self, uint32_t verb, struct slice packed, int64_t timeout_ms,
                  struct reply *ret_reply)
{
    const int64_t deadline_ms = client_deadline(timeout_ms);
    for (;;) {
        int r = ask(self, verb, packed, deadline_ms, ret_reply);
        if (!again(r) || !wait_for_more(self, r, deadline_ms))
            return r;
        reply_clear(ret_reply);
    }
}

static int insist_on(gantry_client_t *self, uint32_t verb, const struct message_layout *layout,
                     const void *m, int64_t timeout_ms, struct reply *ret_reply)
{
    msgpack_sbuffer packed; /* its own: other calls may begin in the pauses */
    msgpack_packer pk;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    message_encode(layout, m, &pk);
    int r = insist(self, verb, slice_make(packed.data, packed.size), timeout_ms, ret_reply);
    msgpack_sbuffer_destroy(&packed);
    return r;
}

// NOLINTNEXTLINE(readability-function-size): as gantry.h has it
int gantry_create_task(gantry_client_t *self, const char *temp_file_path, const uint8_t *token,
                       int64_t timeout_ms, char ret_id[GANTRY_ID_SIZE])
{
    scoped_in(reply) reply = { 0 };
    uint8_t minted[MINT_UUID_SIZE];
    struct m_created_task created;
    int r = token ? 0 : mint_take(&self->mint, minted, sizeof minted);
    if (r)
        return r;
    const struct m_create_task said = { .temp_file_path = slice_of(temp_file_path),
                                        .token =
                                            slice_make(token ? token : minted, sizeof minted) };
    r = insist_on(self, VERB_CREATE_TASK, &m_create_task_layout, &said, timeout_ms, &reply);
    if (r)
        return r;
    if (message_decode(&m_created_task_layout, slice_make(reply.body, reply.size), &created,
                       NULL) ||
        !slice_copy(created.task_id, ret_id, GANTRY_ID_SIZE))
        return -EPROTO;
    return 0;
}

int gantry_task_status(gantry_client_t *self, const char *id, int64_t timeout_ms,
                       struct gantry_task_status *ret_status)
{
    scoped_in(reply) reply = { 0 };
    struct m_task_status told;
    struct gantry_task_status status = { 0 };
    const struct m_get_task_status said = { .task_id = slice_of(id) };
    int r =
        insist_on(self, VERB_GET_TASK_STATUS, &m_get_task_status_layout, &said, timeout_ms, &reply);
    if (r)
        return r;
    if (message_decode(&m_task_status_layout, slice_make(reply.body, reply.size), &told, NULL) ||
        told.status > GANTRY_TASK_FAILED)
        return -EPROTO;
    status.status = (enum gantry_task_state)told.status;
    if (!slice_copy(told.result_file_path, status.result_file_path,
                    sizeof status.result_file_path) ||
        !slice_copy(told.error_message, status.error_message, sizeof status.error_message) ||
        !slice_copy(told.created_at, status.created_at, sizeof status.created_at) ||
        !slice_copy(told.updated_at, status.updated_at, sizeof status.updated_at))
        return -EPROTO;
    *ret_status = status;
    return 0;
}
