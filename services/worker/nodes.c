#include "services/worker/node.h"

#include "common/paths.h"

#include <stdio.h>

static const struct node_table *const tables[] = { &nodes_audio_separator, &nodes_ffmpeg,
                                                   &nodes_storage, &nodes_system, &nodes_video };

const struct node_table *nodes_of_service(struct slice service)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (slice_is(service, tables[i]->service))
            return tables[i];
    return NULL;
}

const char *nodes_services(char *text, size_t size)
{
    size_t length = 0;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        int added =
            snprintf(text + length, size - length, "%s%s", i ? ", " : "", tables[i]->service);
        if (added < 0 || (size_t)added >= size - length)
            return "";
        length += (size_t)added;
    }
    return text;
}

const struct node_row *node_find(struct slice name)
{
    const struct node_table *table = nodes_of_service(task_name_service(name));
    for (size_t i = 0; table && i < table->count; i++)
        if (slice_is(name, table->rows[i].name))
            return &table->rows[i];
    return NULL;
}
