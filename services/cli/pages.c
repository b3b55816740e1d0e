#include "services/cli/pages.h"

#include "common/clock.h"

enum { PAGE_MAX = 1000 };

static const struct listing_column columns[] = {
    { "TASK", "id", LISTING_TEXT },
    { "STAGE", "task", LISTING_TEXT },
    { "STATE", "state", LISTING_STATE },
    { "SINCE", "at_ms", LISTING_TIME },
};

/* Wall clock so long ago; 0 when it was not asked for. */
static uint64_t ago(int64_t span_ms)
{
    int64_t now_ms = clock_wall_ms();
    return span_ms >= 0 && span_ms < now_ms ? (uint64_t)(now_ms - span_ms) : 0;
}

/* One page: appends its items, and answers the cursor to go on from ("" at the end). */
static int read_page(const struct cli *cli, gantry_client_t *client, const struct m_list *list,
                     json_t *items, char cursor[256])
{
    json_t *page = NULL;
    int code = listing_ask_on(cli, client, VERB_LIST, &m_list_layout, list, &page);
    if (code)
        return code;
    const char *next = json_string_value(json_object_get(page, "cursor"));
    if (json_array_extend(items, json_object_get(page, "items")))
        code = cli_say(cli, CLI_AWAY, "the answer has no items");
    (void)snprintf(cursor, 256, "%s", next ? next : "");
    json_decref(page);
    return code;
}

int pages_read(const struct cli *cli, gantry_client_t *client, const char *state, int64_t limit,
               json_t *items)
{
    const struct options *options = &cli->options;
    char cursor[256] = "";
    int64_t left = limit - (int64_t)json_array_size(items);
    int code = 0;
    struct m_list list = { .state = slice_of(state ? state : options->state),
                           .service = slice_of(options->service),
                           .task = slice_of(options->task),
                           .since_ms = ago(options->since_ms),
                           .until_ms = ago(options->until_ms) };
    while (left > 0 && code == 0) {
        list.limit = (uint32_t)(left < PAGE_MAX ? left : PAGE_MAX);
        list.cursor = slice_of(cursor);
        code = read_page(cli, client, &list, items, cursor);
        left = limit - (int64_t)json_array_size(items);
        if (!*cursor)
            break;
    }
    return code;
}

int pages_print(const struct cli *cli, const json_t *items)
{
    if (cli->options.json)
        return listing_print_value(cli, items);
    return listing_print_table(cli, items, columns, sizeof columns / sizeof *columns);
}
