#include "common/scoped.h"
#include "proto/message.h"
#include "services/cli/listing.h"

#include <errno.h>
#include <string.h>

enum { PAGE_MAX = 1000, ITEMS = 100 };

static const struct listing_column columns[] = {
    { "TASK", "id", LISTING_TEXT },
    { "STAGE", "task", LISTING_TEXT },
    { "STATE", "state", LISTING_STATE },
    { "SINCE", "at_ms", LISTING_TIME },
};

/* One page: appends its items, and answers the cursor to go on from ("" at the end). */
static int read_page(const struct cli *cli, gantry_client_t *client, uint32_t limit, json_t *items,
                     char cursor[256])
{
    const struct options *options = &cli->options;
    struct m_list list = { .state = slice_of(options->state),
                           .service = slice_of(options->service),
                           .limit = limit,
                           .cursor = slice_of(cursor) };
    msgpack_sbuffer body;
    msgpack_packer pk;
    msgpack_sbuffer_init(&body);
    msgpack_packer_init(&pk, &body, msgpack_sbuffer_write);
    message_encode(&m_list_layout, &list, &pk);
    json_t *page = NULL;
    int code = listing_ask_on(cli, client, VERB_LIST, slice_make(body.data, body.size), &page);
    msgpack_sbuffer_destroy(&body);
    if (code)
        return code;
    const char *next = json_string_value(json_object_get(page, "cursor"));
    if (json_array_extend(items, json_object_get(page, "items")))
        code = cli_say(cli, CLI_AWAY, "the answer has no items");
    (void)snprintf(cursor, 256, "%s", next ? next : "");
    json_decref(page);
    return code;
}

static int read_all(const struct cli *cli, gantry_client_t *client, json_t *items)
{
    char cursor[256] = "";
    int64_t limit = cli->options.items >= 0 ? cli->options.items : ITEMS;
    int code = 0;
    int64_t left = limit;
    while (left > 0 && code == 0) {
        code = read_page(cli, client, (uint32_t)(left < PAGE_MAX ? left : PAGE_MAX), items, cursor);
        left = limit - (int64_t)json_array_size(items);
        if (!*cursor)
            break;
    }
    return code;
}

int cli_list(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    json_t *items = json_array();
    if (!items)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    code = read_all(cli, client, items);
    if (code == 0 && cli->options.json)
        code = listing_print_value(cli, items);
    else if (code == 0)
        code = listing_print_table(cli, items, columns, sizeof columns / sizeof *columns);
    json_decref(items);
    return code;
}
