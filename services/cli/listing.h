#pragma once
/* Verbs that ask for something and show it: the call, and bodies as JSON or as a table. */
#include "proto/json.h"
#include "proto/message.h"
#include "services/cli/cli.h"
#include "services/cli/table.h"

/* Connects, asks a verb of the protocol and reads the answer. layout NULL: the verb has no body.
 * The value is the caller's. 0, or an exit code after saying what went wrong. */
int listing_ask(struct cli *cli, uint32_t verb, const struct message_layout *layout, const void *m,
                json_t **ret_value);
/* The same on a client that stands. */
int listing_ask_on(const struct cli *cli, gantry_client_t *client, uint32_t verb,
                   const struct message_layout *layout, const void *m, json_t **ret_value);

/* On standard output. 0, or an exit code after saying what went wrong. */
int listing_print_json(const struct cli *cli, struct slice packed);
int listing_print_value(const struct cli *cli, const json_t *value);

/* How a value is shown. */
enum listing_as {
    LISTING_TEXT,
    LISTING_NUMBER,
    LISTING_STATE,
    LISTING_BYTES,
    LISTING_SPAN,
    LISTING_TIME
};

struct listing_column {
    const char *title;
    const char *key;
    enum listing_as as;
};
enum { LISTING_COLUMNS_MAX = 12 };

/* An array of maps, a row each. 0, or an exit code after saying what went wrong. */
int listing_print_table(const struct cli *cli, const json_t *rows,
                        const struct listing_column *columns, size_t count);

/* Asks a verb without a body for rows and shows them, as a table or as JSON. Under an empty table
 * nothing (may be NULL) says what that means. An exit code. */
int listing_show(struct cli *cli, uint32_t verb, const struct listing_column *columns, size_t count,
                 const char *nothing);

/* One value as a cell's text; "" for one that is absent. */
enum { LISTING_TEXT_MAX = 512 };
const char *listing_text(const json_t *value, enum listing_as as, char text[LISTING_TEXT_MAX]);
