/* A client on libgantry that submits without end, waits for all it submitted, cancels some and says
 * some twice. What has no sure answer is asked again. Killed and started again it reads its own
 * journal and goes on where it was. */
#include "tests/faults/load.h"

#include "common/clock.h"
#include "proto/codec.h"
#include "proto/gantry.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STEP_MS = 10,
    SUBMIT_MS = 4000,
    WAIT_MS = 8000,
    CANCEL_MS = 1000,
    PAUSE_MS = 200,
    RETRY_MS = 50,
    LINE = 1024
};

enum phase { PHASE_NEW, PHASE_ASKED, PHASE_KEPT, PHASE_WAITED, PHASE_OVER };

struct item {
    enum phase phase;
    bool cancelled, again; /* is settled, or was never wanted */
    bool asking;           /* the second submit is under way */
    int64_t kept_ms, due_ms;
};

static volatile sig_atomic_t finishing;
static struct plan_options options;
static gantry_client_t *client, *other; /* other has the brokers the other way round */
static struct item *items;
static size_t items_size;
static uint64_t count, first_open, open_count;

static void on_terminate(int signal_number)
{
    (void)signal_number;
    finishing = 1;
}

static struct item *item_at(uint64_t number)
{
    if (number >= items_size) {
        size_t size = items_size ? items_size : 1024;
        while (size <= number)
            size *= 2;
        items = realloc(items, size * sizeof *items);
        if (!items)
            load_die("out of memory");
        memset(items + items_size, 0, (size - items_size) * sizeof *items);
        items_size = size;
    }
    return &items[number];
}

static struct item *item_new(const struct plan *plan, uint64_t number)
{
    struct item *item = item_at(number);
    *item = (struct item){ .cancelled = plan->cancel_ms < 0, .again = plan->again_ms < 0 };
    open_count++;
    return item;
}

static void over(struct item *item)
{
    item->phase = PHASE_OVER;
    open_count--;
}

/* ---- submitting ---- */

/* One message: its numbers follow each other. */
struct asked {
    uint64_t first;
    size_t count;
    bool again;
};

static void on_receipt(struct item *item, const struct plan *plan, bool again,
                       const struct gantry_receipt *receipt)
{
    journal(again ? 'r' : 'R', "%s %s %d %s %s %s", plan->id, load_nodes[plan->node],
            receipt->status, *receipt->state ? receipt->state : "-",
            *receipt->reuse ? receipt->reuse : "-",
            *receipt->durability ? receipt->durability : "-");
    if (again) {
        item->again = receipt->status == 0;
    } else if (receipt->status == 0) {
        item->phase = PHASE_KEPT;
        item->kept_ms = clock_ms();
    } else {
        item->phase = PHASE_NEW;
        item->due_ms = clock_ms() + (receipt->retry_after_ms ? receipt->retry_after_ms : PAUSE_MS);
    }
}

static void on_submitted(void *arg, int status, const struct gantry_receipt *receipts, size_t n)
{
    struct asked *asked = arg;
    for (size_t i = 0; i < asked->count; i++) {
        struct plan plan;
        struct item *item = item_at(asked->first + i);
        struct gantry_receipt unknown = { .status = status ? status : GANTRY_UNAVAILABLE };
        plan_make(&plan, &options, asked->first + i);
        if (asked->again)
            item->asking = false;
        on_receipt(item, &plan, asked->again, status || i >= n ? &unknown : &receipts[i]);
        if (asked->again && !item->again)
            item->kept_ms = clock_ms() + PAUSE_MS - plan.again_ms; /* another try */
    }
    free(asked);
}

static void ask(gantry_client_t *through, uint64_t first, size_t n, bool again)
{
    struct plan plans[8];
    struct plan_input inputs[8];
    struct gantry_task tasks[8];
    struct asked *asked = malloc(sizeof *asked);
    if (!asked)
        load_die("out of memory");
    *asked = (struct asked){ first, n, again };
    for (size_t i = 0; i < n; i++) {
        struct plan *plan = &plans[i];
        plan_make(plan, &options, first + i);
        plan_input_make(&inputs[i], plan);
        tasks[i] = (struct gantry_task){ .id = plan->id,
                                         .task = load_nodes[plan->node],
                                         .input = { inputs[i].bytes, inputs[i].size },
                                         .priority = (enum gantry_priority)plan->priority,
                                         .token = plan->token,
                                         .delay_ms = plan->delay_ms,
                                         .retry_ms = RETRY_MS,
                                         .schedule_to_close_ms = plan->close_ms,
                                         .failures_max =
                                             strcmp(plan->how, "exhaust") == 0 ? plan->times : 0 };
        journal(again ? 'a' : 'A', "%s %s %u %s %u %u %d %u", plan->id, tasks[i].task,
                plan->priority, plan->how, plan->times, plan->run_ms, plan->stubborn,
                plan->delay_ms);
        if (again)
            item_at(first + i)->asking = true;
        else
            item_at(first + i)->phase = PHASE_ASKED;
    }
    int r = gantry_submit_begin(through, tasks, n, SUBMIT_MS, on_submitted, asked);
    if (r)
        on_submitted(asked, r, NULL, 0);
}

/* ---- waiting and cancelling ---- */

static void note_stage(char kind, const struct plan *plan, int status,
                       const gantry_record_t *record)
{
    const struct gantry_stage *stage =
        record ? gantry_record_find(record, load_nodes[plan->node]) : NULL;
    struct slice value, text;
    char nonce[LOAD_TEXT] = "-";
    if (stage &&
        codec_find(slice_make(stage->output.data, stage->output.size),
                   plan->node == LOAD_WORK ? "nonce" : "value", &value) &&
        codec_str(value, &text))
        (void)slice_copy(text, nonce, sizeof nonce);
    if (stage)
        journal(kind, "%s %s %d %s %u %u %u %u %s", plan->id, load_nodes[plan->node], status,
                stage->state, stage->attempt, stage->generation, stage->failures, stage->crashes,
                nonce);
    else
        journal(kind, "%s %s %d - 0 0 0 0 -", plan->id, load_nodes[plan->node], status);
}

static void on_waited(void *arg, int status, const gantry_record_t *record)
{
    uint64_t number = (uintptr_t)arg;
    struct item *item = item_at(number);
    bool passing = status == GANTRY_TIMEOUT || status == GANTRY_UNAVAILABLE ||
                   status == GANTRY_BUSY || status < 0;
    struct plan plan;
    plan_make(&plan, &options, number);
    if (passing) {
        item->phase = PHASE_KEPT;
        item->due_ms = clock_ms() + (status == GANTRY_TIMEOUT ? 0 : PAUSE_MS);
        return;
    }
    note_stage('w', &plan, status, record);
    over(item);
}

static void wait_for(struct item *item, const struct plan *plan, uint64_t number)
{
    void *arg = (void *)(uintptr_t)number;
    item->phase = PHASE_WAITED;
    int r = gantry_wait_begin(client, plan->id, load_nodes[plan->node], WAIT_MS, on_waited, arg);
    if (r)
        on_waited(arg, r, NULL);
}

static void cancel(struct item *item, const struct plan *plan)
{
    gantry_record_t *record = NULL;
    journal('C', "%s %s", plan->id, load_nodes[plan->node]);
    int r = gantry_cancel(other, plan->id, load_nodes[plan->node], CANCEL_MS, &record);
    item->cancelled = r == 0 || r == GANTRY_CONFLICT || r == GANTRY_NOT_FOUND;
    note_stage('c', plan, r, record);
    gantry_record_destroy(&record);
    if (!item->cancelled)
        item->kept_ms = clock_ms() + PAUSE_MS - plan->cancel_ms;
}

/* ---- the loop ---- */

static bool same_message(const struct plan *plan, uint64_t number)
{
    return number % 8 && plan->batch == 8;
}

/* New ones that follow each other and may share a message. */
static size_t together(uint64_t first, int64_t now_ms)
{
    struct plan plan;
    size_t n = 1;
    plan_make(&plan, &options, first);
    while (first + n < count && same_message(&plan, first + n) &&
           items[first + n].phase == PHASE_NEW && items[first + n].due_ms <= now_ms)
        n++;
    return n;
}

static void turn_kept(struct item *item, uint64_t number, int64_t now_ms)
{
    struct plan plan;
    plan_make(&plan, &options, number);
    if (!item->again && !item->asking && now_ms >= item->kept_ms + plan.again_ms)
        ask(other, number, 1, true);
    if (!item->cancelled && now_ms >= item->kept_ms + plan.cancel_ms)
        cancel(item, &plan);
    if (item->phase == PHASE_KEPT && now_ms >= item->due_ms)
        wait_for(item, &plan, number);
}

/* An item is left behind once nothing is to be done with it any more. */
static bool settled(const struct item *item)
{
    return item->phase == PHASE_OVER && item->again && !item->asking;
}

static void turn(int64_t now_ms)
{
    while (first_open < count && settled(&items[first_open]))
        first_open++;
    for (uint64_t n = first_open; n < count; n++) {
        struct item *item = &items[n];
        if (item->phase == PHASE_NEW && item->due_ms <= now_ms)
            ask(client, n, together(n, now_ms), false);
        else if (item->phase == PHASE_OVER)
            item->cancelled = true; /* too late for it */
        if ((item->phase != PHASE_NEW && item->phase != PHASE_ASKED) && !settled(item))
            turn_kept(item, n, now_ms);
    }
}

static void add(uint64_t n)
{
    for (; n > 0; n--, count++) {
        struct plan plan;
        plan_make(&plan, &options, count);
        (void)item_new(&plan, count);
    }
}

/* ---- what it was about to do when it was killed ---- */

static void remember(const char *line)
{
    char id[LOAD_ID] = "";
    const char *at = strchr(line + 2, ' '), *end = at ? strchr(at + 1, ' ') : NULL;
    if (!end || (size_t)(end - at) > sizeof id || !strchr("AaRrwc", *line))
        return;
    memcpy(id, at + 1, (size_t)(end - at - 1));
    const char *number = strrchr(id, '-');
    uint64_t n = number ? strtoull(number + 1, NULL, 10) : 0;
    while (count <= n)
        add(1);
    const char *node = strchr(end + 1, ' ');
    int status = node ? (int)strtol(node, NULL, 10) : -1;
    struct item *item = &items[n];
    if (*line == 'R' && status == 0 && item->phase == PHASE_NEW)
        item->phase = PHASE_KEPT;
    else if (*line == 'r')
        item->again = item->again || status == 0;
    else if (*line == 'c')
        item->cancelled = item->cancelled || status == 0 || status == GANTRY_CONFLICT;
    else if (*line == 'w' && item->phase != PHASE_OVER)
        over(item);
}

static void remember_all(const char *path)
{
    char line[LINE];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strlen(line) > 2 && line[strlen(line) - 1] == '\n')
            remember(line);
    if (file)
        (void)fclose(file);
}

/* The same endpoints from the last to the first. */
static char *reversed(const char *brokers)
{
    size_t size = strlen(brokers), end = size, at = 0;
    char *text = calloc(1, size + 2);
    for (size_t i = size + 1; text && i-- > 0;) {
        if (i > 0 && brokers[i - 1] != ',')
            continue;
        memcpy(text + at, brokers + i, end - i);
        at += end - i;
        text[at++] = i > 0 ? ',' : '\0';
        end = i > 0 ? i - 1 : 0;
    }
    return text;
}

static void connect_both(void)
{
    const char *brokers = load_option("brokers", "");
    char *other_way = reversed(brokers);
    client = gantry_client_new(brokers);
    other = other_way ? gantry_client_new(other_way) : NULL;
    free(other_way);
    if (!client || !other)
        load_die("no client could be made");
}

/* As many as the rate allows since added_ms, the window and the most there shall be. */
static uint64_t more(uint64_t rate, uint64_t since_ms)
{
    uint64_t window = load_number("window", 200), most = load_number("most", UINT64_MAX);
    uint64_t wanted = since_ms * rate / 1000;
    uint64_t room = open_count < window ? window - open_count : 0;
    uint64_t left = finishing || count >= most ? 0 : most - count;
    wanted = wanted < room ? wanted : room;
    return wanted < left ? wanted : left;
}

static void work(void)
{
    uint64_t rate = load_number("rate", 50), most = load_number("most", UINT64_MAX);
    int64_t added_ms = clock_ms();
    while ((!finishing && count < most) || open_count || first_open < count) {
        int64_t now_ms = clock_ms();
        if ((uint64_t)(now_ms - added_ms) * rate >= 1000) {
            add(more(rate, (uint64_t)(now_ms - added_ms)));
            added_ms = now_ms;
        }
        turn(now_ms);
        if (gantry_client_turn(client, STEP_MS) < 0 || gantry_client_turn(other, 0) < 0)
            load_die("the connection failed");
    }
}

int load_client(void)
{
    const char *path = load_option("journal", "client.journal");
    options = (struct plan_options){ .name = load_option("name", "c"),
                                     .seed = load_number("seed", 1),
                                     .lease_ms = load_number("lease_ms", 3000),
                                     .engines = load_number("engines", 1) != 0 };
    remember_all(path);
    journal_open(path);
    journal('P', "%d %s", (int)getpid(), options.name);
    (void)signal(SIGTERM, on_terminate);
    connect_both();
    work();
    journal('F', "%" PRIu64, count);
    gantry_client_destroy(&client);
    gantry_client_destroy(&other);
    free(items);
    return 0;
}
