#include "services/front/tasks_event.h"

#include "common/scoped.h"
#include "proto/context.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* Takes data; seq 0: without an id. */
static char *text_of(const char *event, uint64_t seq, json_t *data)
{
    char id[32] = "";
    char *text = NULL;
    scoped_text char *line = data ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);
    if (seq)
        (void)snprintf(id, sizeof id, "id: %" PRIu64 "\n", seq);
    if (!line || asprintf(&text, "%sevent: %s\ndata: %s\n\n", id, event, line) < 0)
        return NULL;
    return text;
}

char *event_snapshot(const gantry_record_t *record, uint64_t seq)
{
    json_t *context = NULL;
    return context_of(record, NULL, false, &context) ? NULL : text_of("snapshot", seq, context);
}

char *event_update(const struct m_update *update)
{
    char state[24] = "", time[32];
    (void)slice_copy(update->state, state, sizeof state);
    return text_of("update", update->seq,
                   json_pack("{s:s%, s:s, s:s, s:s}", "task_name", update->task.data,
                             update->task.size, "state", state, "status", context_status(state),
                             "at", context_time(update->at_ms, time)));
}

char *event_progress(const struct gantry_stage *stage)
{
    return text_of("progress", 0,
                   json_pack("{s:s, s:f}", "task_name", stage->task, "progress", stage->progress));
}

char *event_end(const char *id, const char *status)
{
    return text_of("end", 0, json_pack("{s:s, s:s}", "task_id", id, "status", status));
}

bool event_number(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (const char *at = text ? text : ""; *at; at++) {
        const uint64_t digit = (uint64_t)(unsigned char)*at - '0';
        if (digit > 9 || number > (INT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}
