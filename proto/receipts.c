#include "proto/receipts.h"

#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"

#include <errno.h>

enum { OWNER_MAX = 128 };

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

int task_check(const struct gantry_task *task, const char **ret_field)
{
    const char *wrong = NULL;
    if (!task_name_valid(slice_of(task->task)))
        wrong = "task";
    else if (task->id && !task_id_valid(slice_of(task->id)))
        wrong = "id";
    else if (task->priority < GANTRY_NORMAL || task->priority > GANTRY_LOW)
        wrong = "priority";
    else if (task->owner && strlen(task->owner) > OWNER_MAX)
        wrong = "owner";
    if (wrong)
        *ret_field = wrong;
    return wrong ? STATUS_INVALID : 0;
}

/* One bad item would make the whole body unreadable, and refuse its neighbours too. */
static const char *unreadable(struct slice item, struct slice input)
{
    if (codec_check(item))
        return input.size && codec_check(input) ? "input" : "owner";
    bool good = input.size == 0 ||
                (codec_is(input, KIND_MAP) && codec_depth(input) <= WIRE_VALUE_DEPTH_MAX);
    return good ? NULL : "input";
}

int task_pack(gantry_client_t *client, const struct gantry_task *task, const char *id,
              const uint8_t token[TICKET_SIZE], const char **ret_field)
{
    struct m_task m = {
        .id = slice_of(id),
        .task = slice_of(task->task),
        .token = slice_make(token, TICKET_SIZE),
        .input = slice_make(task->input.data, task->input.size),
        .owner = slice_of(task->owner),
        .timeout_ms = task->timeout_ms,
    };
    struct parcel *parcel = &client->parcel;
    size_t mark = parcel_mark(parcel);
    msgpack_packer pk = parcel_packer(parcel);
    message_encode(&m_task_layout, &m, &pk);
    if (parcel->failed)
        return -ENOMEM;
    int r = parcel_mark(parcel) > client->body_max ? STATUS_TOO_LARGE : 0;
    const char *field = r ? "input" : unreadable(parcel_item(parcel, mark), m.input);
    if (!field) {
        parcel_keep(parcel);
        return 0;
    }
    parcel_cut(parcel, mark);
    *ret_field = field;
    return r ? r : STATUS_INVALID;
}

int task_send(gantry_client_t *client, struct group group, int64_t timeout_ms,
              session_answer_fn *answer, void *arg)
{
    struct request request = {
        .verb = VERB_SUBMIT,
        .service = group.service,
        .priority = group.priority,
        .count = client->parcel.count,
        .timeout_ms = timeout_ms,
    };
    zmq_msg_t body;
    int r = parcel_take(&client->parcel, &body);
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
    receipt->retry_after_ms = 0;
    fit(slice_of(field), receipt->field, sizeof receipt->field);
    fit(slice_of(message), receipt->message, sizeof receipt->message);
}

static void read_one(struct gantry_receipt *to, struct slice item)
{
    struct m_receipt m;
    if (message_decode(&m_receipt_layout, item, &m, NULL)) {
        receipt_refuse(to, STATUS_MALFORMED, "", "the broker's receipt cannot be read");
        return;
    }
    to->status = (int)m.status;
    to->retry_after_ms = m.retry_after_ms;
    fit(m.state, to->state, sizeof to->state);
    fit(m.reuse, to->reuse, sizeof to->reuse);
    fit(m.durability, to->durability, sizeof to->durability);
    fit(m.message, to->message, sizeof to->message);
    fit(m.field, to->field, sizeof to->field);
}

void receipts_read(gantry_client_t *client, const struct header *header, struct slice body,
                   struct gantry_receipt *all, const uint32_t *order, size_t count)
{
    struct reader reader = { 0 };
    struct slice item;
    uint32_t items = 0;
    if (header->status)
        client_refused(client, header->status, body);
    else if (!codec_array(body, &reader, &items) || items != count)
        items = 0;
    for (size_t i = 0; i < count; i++) {
        struct gantry_receipt *to = &all[order ? order[i] : i];
        if (header->status) {
            receipt_refuse(to, (int)header->status, client->field, client->message);
            to->retry_after_ms = client->error.retry_after_ms;
        } else if (items && reader_value(&reader, &item)) {
            read_one(to, item);
        } else {
            receipt_refuse(to, STATUS_MALFORMED, "", "the broker's answer has another length");
        }
    }
}
