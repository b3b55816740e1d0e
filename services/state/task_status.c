/* GET_TASK_STATUS: from the HASH of a created task, which others may have written to; of any other
 * task as its record says it. */
#include "common/scoped.h"
#include "common/status.h"
#include "services/state/created.h"
#include "services/state/ref.h"
#include "services/state/reply.h"

#include <stdio.h>
#include <time.h>

enum { HASH_FIELDS = 6, TIME_TEXT = 32 };

/* Numbers of the task service's enum. */
enum task_status { TASK_PENDING, TASK_PROCESSING, TASK_COMPLETED, TASK_FAILED, TASK_STATUS_END };

static const char *const names[TASK_STATUS_END] = { "PENDING", "PROCESSING", "COMPLETED",
                                                    "FAILED" };

bool created_read(const redisReply *reply, struct created *ret_created)
{
    if (!reply_is_array(reply, HASH_FIELDS) || !slice_is(reply_text(reply->element[0]), "hash"))
        return false;
    redisReply *const *fields = reply->element;
    *ret_created =
        (struct created){ reply_text(fields[1]), reply_text(fields[2]), reply_text(fields[3]),
                          reply_text(fields[4]), reply_text(fields[5]) };
    return true;
}

static void tell(ask_t **ask_p, const struct m_task_status *told)
{
    struct m_task_status said = *told;
    if (said.status != TASK_COMPLETED)
        said.result_file_path = (struct slice){ 0 };
    if (said.status != TASK_FAILED)
        said.error_message = (struct slice){ 0 };
    message_encode(&m_task_status_layout, &said, state_packer((*ask_p)->state));
    ask_answer(ask_p, STATUS_OK, 0, state_packed((*ask_p)->state));
}

static void tell_created(ask_t **ask_p, const struct created *created)
{
    uint32_t status = 0;
    while (status < TASK_STATUS_END && !slice_is(created->status, names[status]))
        status++;
    if (status == TASK_STATUS_END) {
        struct refusal why = { 0 };
        refusal_say(&why, STATUS_CONFLICT, "status",
                    "the task's status is \"%.*s\": an outside processor must write PENDING, "
                    "PROCESSING, COMPLETED or FAILED",
                    SLICE_ARG(created->status));
        ask_refuse(ask_p, &why);
        return;
    }
    const struct m_task_status told = { .status = status,
                                        .result_file_path = created->result_file_path,
                                        .error_message = created->error_message,
                                        .created_at = created->created_at,
                                        .updated_at = created->updated_at };
    tell(ask_p, &told);
}

/* ---- of a record ------------------------------------------------------------------------------
 */

/* "cancelled" is no status of the task service: it has failed, and says so. */
static enum task_status status_of(const struct stages *stages)
{
    static const struct {
        const char *ours;
        enum task_status theirs;
    } rows[] = { { "pending", TASK_PENDING },
                 { "running", TASK_PROCESSING },
                 { "completed", TASK_COMPLETED } };
    const char *ours = record_status(stages->items, stages->count);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(ours, rows[i].ours) == 0)
            return rows[i].theirs;
    return TASK_FAILED;
}

static bool is_path_name(struct slice name)
{
    static const char end[] = "_path";
    return name.size >= sizeof end - 1 &&
           memcmp((const char *)name.data + name.size - (sizeof end - 1), end, sizeof end - 1) == 0;
}

/* The file that an output names: result_file_path, else the first of a name that ends in _path. */
static struct slice result_of(struct slice output)
{
    struct reader reader;
    uint32_t pairs = 0;
    struct slice name, value, text = { 0 }, found = { 0 };
    if (codec_find(output, "result_file_path", &value) && codec_str(value, &text))
        return text;
    if (!codec_map(output, &reader, &pairs))
        return found;
    for (uint32_t i = 0; i < pairs && !found.size; i++)
        if (reader_value(&reader, &name) && reader_value(&reader, &value) &&
            codec_str(name, &name) && is_path_name(name) && codec_str(value, &text))
            found = text;
    return found;
}

static struct slice message_of(const struct stage *stage)
{
    struct slice value, text = { 0 };
    if (stage->state == STATE_CANCELLED)
        return SLICE("cancelled");
    if (codec_find(stage->told.error, "message", &value))
        (void)codec_str(value, &text);
    return text;
}

/* Of the stage that decides: the newest that ended well, the first that did not. */
static void read_ends(const struct stages *stages, struct m_task_status *told)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < stages->count; i++) {
        const struct stage *stage = &stages->items[i];
        const struct slice result = result_of(stage->told.output);
        if (result.size && stage->told.ended_ms >= newest) {
            newest = stage->told.ended_ms;
            told->result_file_path = result;
        }
        const bool bad =
            stage_ended(stage) && stage->state != STATE_COMPLETED && stage->state != STATE_SKIPPED;
        if (bad && !told->error_message.size)
            told->error_message = message_of(stage);
    }
}

static struct slice time_text(uint64_t ms, char text[TIME_TEXT])
{
    const time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (!ms || !gmtime_r(&seconds, &tm) || !strftime(text, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return (struct slice){ 0 };
    return slice_of(text);
}

/* When the record was made, and when anything of it was written last, as far as it tells. */
static void read_times(const struct stages *stages, uint64_t *ret_created, uint64_t *ret_updated)
{
    uint64_t created = 0, updated = 0;
    for (size_t i = 0; i < stages->count; i++) {
        const struct m_stage *told = &stages->items[i].told;
        const uint64_t times[] = { told->created_ms, told->started_ms, told->ended_ms };
        if (!created || told->created_ms < created)
            created = told->created_ms;
        for (size_t k = 0; k < sizeof times / sizeof *times; k++)
            updated = times[k] > updated ? times[k] : updated;
    }
    *ret_created = created;
    *ret_updated = updated;
}

static void tell_record(ask_t **ask_p, const struct stages *stages)
{
    char created_text[TIME_TEXT], updated_text[TIME_TEXT];
    uint64_t created, updated;
    struct m_task_status told = { .status = (uint32_t)status_of(stages) };
    read_ends(stages, &told);
    read_times(stages, &created, &updated);
    told.created_at = time_text(created, created_text);
    told.updated_at = time_text(updated, updated_text);
    tell(ask_p, &told);
}

/* ---- asked ------------------------------------------------------------------------------------
 */

static void refuse_unknown(ask_t **ask_p, struct slice id)
{
    struct refusal why = { 0 };
    refusal_say(&why, STATUS_NOT_FOUND, "task_id", "no task %.*s", SLICE_ARG(id));
    ask_refuse(ask_p, &why);
}

static void on_status(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct created created;
    struct m_get_task_status said;
    scoped_in(stages) stages = { 0 };
    size_t at = 0;
    const bool has_hash = !status && created_read(reply, &created);
    if (!status && !has_hash)
        status = stages_read(&stages, reply, &at);
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    (void)message_decode(&m_get_task_status_layout, ask_body(ask), &said, NULL); /* as before */
    if (has_hash)
        tell_created(&ask, &created);
    else if (stages.count)
        tell_record(&ask, &stages);
    else
        refuse_unknown(&ask, said.task_id);
}

void get_task_status_asked(state_t *self, ask_t *ask)
{
    struct m_get_task_status said;
    struct refusal why = { 0 };
    if (!state_read(&ask, &m_get_task_status_layout, &said))
        return;
    const struct m_ref ref = { .id = said.task_id };
    if (ref_check(&ref, &why)) {
        (void)snprintf(why.field, sizeof why.field, "task_id");
        ask_refuse(&ask, &why);
        return;
    }
    struct command *command = store_function(self->store, "task_status");
    command_arg(command, said.task_id);
    state_call_large(ask, self->records, command, on_status);
}
