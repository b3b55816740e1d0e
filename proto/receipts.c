#include "proto/receipts.h"

#include "common/paths.h"
#include "common/status.h"
#include "common/url.h"

#include <errno.h>

enum { OWNER_MAX = 128 };

_Static_assert(OWNER_MAX == 128 && WIRE_VALUE_DEPTH_MAX == 11 && TASK_NAME_MAX == 64,
               "as the words of the refusals say");

struct group task_group(const struct gantry_task *task)
{
    static const uint32_t priorities[] = {
        [GANTRY_NORMAL] = PRIORITY_NORMAL,
        [GANTRY_HIGH] = PRIORITY_HIGH,
        [GANTRY_LOW] = PRIORITY_LOW,
    };
    size_t service = strcspn(task->task, "."); /* task_check saw to the rest */
    return (struct group){ slice_make(task->task, service), priorities[task->priority] };
}

static bool may_reuse(const char *reuse)
{
    const struct slice said = slice_of(reuse);
    return said.size == 0 || slice_is(said, "name") || slice_is(said, "input") ||
           slice_is(said, "never");
}

static struct fault fault_of(const struct gantry_task *task)
{
    if (!task_name_valid(slice_of(task->task)))
        return (struct fault){ "task", TASK_NAME_RULE };
    if (task->id && !task_id_valid(slice_of(task->id)))
        return (struct fault){ "id", TASK_ID_RULE };
    if (task->priority < GANTRY_NORMAL || task->priority > GANTRY_LOW)
        return (struct fault){ "priority", "must be normal, high or low" };
    if (task->owner && strlen(task->owner) > OWNER_MAX)
        return (struct fault){ "owner", "must be at most 128 bytes" };
    if (task->callback && *task->callback && !url_valid(slice_of(task->callback)))
        return (struct fault){ "callback", URL_RULE };
    if (!may_reuse(task->reuse))
        return (struct fault){ "reuse", "must be name, input or never" };
    return (struct fault){ 0 };
}

int task_check(const struct gantry_task *task, struct fault *ret_fault)
{
    const struct fault fault = fault_of(task);
    if (fault.field)
        *ret_fault = fault;
    return fault.field ? STATUS_INVALID : 0;
}

/* One bad item would make the whole body unreadable, and refuse its neighbours too. No field: it is
 * sound. All but the input and the owner was looked at by task_check, or is ours. */
static struct fault unreadable(struct slice item, struct slice input, struct slice owner)
{
    if (input.size && codec_check(input))
        return (struct fault){ "input", "is not valid msgpack with texts in UTF-8, or is nested "
                                        "far too deep" };
    if (input.size && !codec_is(input, KIND_MAP))
        return (struct fault){ "input", "must be a map" };
    if (input.size && codec_depth(input) > WIRE_VALUE_DEPTH_MAX)
        return (struct fault){ "input", "is nested deeper than 11 levels" };
    if (owner.size && codec_check(item))
        return (struct fault){ "owner", "must be UTF-8" };
    return (struct fault){ 0 };
}

int task_pack(struct parcel *parcel, uint32_t body_max, const struct gantry_task *task,
              const char *id, const uint8_t token[TICKET_SIZE], struct fault *ret_fault)
{
    struct m_task m = {
        .id = slice_of(id),
        .task = slice_of(task->task),
        .token = slice_make(token, TICKET_SIZE),
        .input = slice_make(task->input.data, task->input.size),
        .owner = slice_of(task->owner),
        .timeout_ms = task->timeout_ms,
        .delay_ms = task->delay_ms,
        .not_before_ms = task->not_before_ms,
        .schedule_to_start_ms = task->schedule_to_start_ms,
        .schedule_to_close_ms = task->schedule_to_close_ms,
        .failures_max = task->failures_max,
        .crashes_max = task->crashes_max,
        .retry_ms = task->retry_ms,
        .callback = slice_of(task->callback),
        .reuse = slice_of(task->reuse),
    };
    size_t mark = parcel_mark(parcel);
    msgpack_packer pk = parcel_packer(parcel);
    message_encode(&m_task_layout, &m, &pk);
    if (parcel->failed)
        return -ENOMEM;
    int r = parcel_mark(parcel) > body_max ? STATUS_TOO_LARGE : 0;
    struct fault fault = { "input", status_text(STATUS_TOO_LARGE) };
    if (!r)
        fault = unreadable(parcel_item(parcel, mark), m.input, m.owner);
    if (!fault.field) {
        parcel_keep(parcel);
        return 0;
    }
    parcel_cut(parcel, mark);
    *ret_fault = fault;
    return r ? r : STATUS_INVALID;
}

int task_send(gantry_client_t *client, struct parcel *parcel, struct group group,
              int64_t timeout_ms, session_answer_fn *answer, void *arg)
{
    struct request request = {
        .verb = VERB_SUBMIT,
        .service = group.service,
        .priority = group.priority,
        .count = parcel->count,
        .timeout_ms = timeout_ms,
    };
    zmq_msg_t body;
    int r = parcel_take(parcel, &body);
    if (r)
        return r;
    r = session_request(client->session, &request, &body, answer, arg);
    zmq_msg_close(&body);
    return r;
}

/* A text of the wire into an array of ours; what does not fit is cut between characters. */
static void fit(struct slice text, char *to, size_t size)
{
    const char *from = text.data;
    size_t kept = text.size < size ? text.size : size - 1;
    while (kept < text.size && kept > 0 && ((uint8_t)from[kept] & 0xc0) == 0x80)
        kept--;
    if (kept)
        memcpy(to, from, kept);
    to[kept] = '\0';
}

void receipt_refuse(struct gantry_receipt *receipt, int status, const char *field,
                    const char *message)
{
    receipt->status = status;
    receipt->state[0] = receipt->reuse[0] = receipt->durability[0] = '\0';
    receipt->scope[0] = '\0';
    receipt->limit = receipt->current = 0;
    receipt->retry_after_ms = 0;
    fit(slice_of(field), receipt->field, sizeof receipt->field);
    fit(slice_of(message), receipt->message, sizeof receipt->message);
}

static void read_one(struct gantry_receipt *to, struct reader *items)
{
    struct m_receipt m;
    if (message_next(&m_receipt_layout, items, &m, NULL)) {
        receipt_refuse(to, STATUS_MALFORMED, "", "the broker's receipt cannot be read");
        return;
    }
    to->status = (int)m.status;
    to->retry_after_ms = m.retry_after_ms;
    to->limit = m.limit;
    to->current = m.current;
    fit(m.state, to->state, sizeof to->state);
    fit(m.reuse, to->reuse, sizeof to->reuse);
    fit(m.durability, to->durability, sizeof to->durability);
    fit(m.message, to->message, sizeof to->message);
    fit(m.field, to->field, sizeof to->field);
    fit(m.scope, to->scope, sizeof to->scope);
}

struct answer answer_of(gantry_client_t *client, const struct header *header, struct slice body,
                        size_t count)
{
    struct answer self = { .client = client, .header = header, .body = body };
    uint32_t items = 0;
    if (header->status == 0)
        self.listed = codec_array(body, &self.items, &items) && items == count;
    return self;
}

static void refuse_as(const struct gantry_client *client, int status, struct gantry_receipt *to)
{
    receipt_refuse(to, status, client->field, client->message);
    to->retry_after_ms = client->error.retry_after_ms;
    to->limit = client->error.limit;
    to->current = client->error.current;
    fit(slice_of(client->scope), to->scope, sizeof to->scope);
}

void receipts_read(struct answer *answer, struct gantry_receipt *all, const uint32_t *order,
                   size_t count)
{
    uint32_t status = answer->header->status;
    if (status)
        client_refused(answer->client, status, answer->body);
    for (size_t i = 0; i < count; i++) {
        struct gantry_receipt *to = &all[order ? order[i] : i];
        if (status)
            refuse_as(answer->client, (int)status, to);
        else if (answer->listed)
            read_one(to, &answer->items);
        else
            receipt_refuse(to, STATUS_MALFORMED, "", "the broker's answer has another length");
    }
}
