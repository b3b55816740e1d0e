#include "services/cli/delivery.h"

#include "common/scoped.h"
#include "services/cli/terminal.h"

#include <string.h>

static const char node[] = "system.callback";

static void print_state(const struct cli *cli, const struct gantry_stage *stage)
{
    bool done = strcmp(stage->state, "completed") == 0;
    enum terminal_colour colour = terminal_state_colour(stage->state);
    fputs(terminal_colour(colour, cli->colour), stdout);
    terminal_put(stdout, done ? "delivered" : stage->state);
    fputs(terminal_plain(colour, cli->colour), stdout);
    printf(", %u %s", stage->attempt, stage->attempt == 1 ? "try" : "tries");
    if (strcmp(stage->state, "scheduled") == 0) {
        char due[SPAN_TEXT];
        printf(", the next at %s", terminal_time(stage->due_ms, due));
    }
    if (*stage->error_message)
        fputs(": ", stdout);
    terminal_put(stdout, stage->error_message);
}

void delivery_print(const struct cli *cli, gantry_client_t *client,
                    const struct gantry_stage *stage)
{
    scoped(gantry_record) record = NULL;
    if (!*stage->callback)
        return;
    fputs("  callback  ", stdout);
    terminal_put(stdout, stage->callback);
    fputs("\n  delivery  ", stdout);
    if (!*stage->callback_id) {
        fputs("when the stage has ended\n", stdout);
        return;
    }
    int r = gantry_get(client, stage->callback_id, cli_timeout_ms(cli), &record);
    const struct gantry_stage *delivery = r ? NULL : gantry_record_find(record, node);
    if (delivery)
        print_state(cli, delivery);
    else
        fputs(r ? gantry_status_text(r) : "its record is no delivery", stdout);
    fputs("; ", stdout);
    terminal_put(stdout, stage->callback_id);
    putchar('\n');
}
