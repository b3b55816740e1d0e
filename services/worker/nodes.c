#include "services/worker/node.h"

#include "common/paths.h"

static const struct node_table *const tables[] = { &nodes_ffmpeg, &nodes_system };

const struct node_table *nodes_of_service(struct slice service)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (slice_is(service, tables[i]->service))
            return tables[i];
    return NULL;
}

const struct node_row *node_find(struct slice name)
{
    const struct node_table *table = nodes_of_service(task_name_service(name));
    for (size_t i = 0; table && i < table->count; i++)
        if (slice_is(name, table->rows[i].name))
            return &table->rows[i];
    return NULL;
}
