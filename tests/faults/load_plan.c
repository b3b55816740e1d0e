/* The mix of the load. */
#include "tests/faults/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { GROUP = 8, LONG_LEASES = 10, NORMAL = 0, HIGH = 1, LOW = 2 };
enum {
    DICE_NODE = 1,
    DICE_PRIORITY,
    DICE_BATCH,
    DICE_TIME,
    DICE_HOW,
    DICE_CANCEL,
    DICE_AGAIN,
    DICE_TOKEN,
    DICE_TOKEN2,
    DICE_TIMES,
    DICE_STUBBORN,
    DICE_DELAY,
    DICE_AFTER
};

const char *const load_nodes[LOAD_NODES] = {
    [LOAD_WORK] = "faults.work", [LOAD_ECHO] = "system.echo", [LOAD_SLEEP] = "system.sleep"
};

uint64_t plan_dice(uint64_t seed, uint64_t number, uint64_t what)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15U + number * 0xbf58476d1ce4e5b9U + what;
    for (int i = 0; i < 2; i++) {
        x += 0x9e3779b97f4a7c15U;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
        x ^= x >> 31;
    }
    return x;
}

static uint64_t seed_of(const struct plan_options *options)
{
    uint64_t hash = options->seed;
    for (const char *c = options->name; *c; c++)
        hash = plan_dice(hash, (uint64_t)(unsigned char)*c, 0);
    return hash;
}

/* What a whole group of eight shares, since a message is of one service and priority. */
static void choose_group(struct plan *plan, uint64_t seed, uint64_t group, bool engines)
{
    uint64_t node = plan_dice(seed, group, DICE_NODE) % 100;
    uint64_t priority = plan_dice(seed, group, DICE_PRIORITY) % 10;
    plan->node = !engines || node < 84 ? LOAD_WORK : node < 92 ? LOAD_ECHO : LOAD_SLEEP;
    plan->priority = priority < 7 ? NORMAL : priority < 8 ? LOW : HIGH;
    plan->batch = plan_dice(seed, group, DICE_BATCH) % 3 == 0 ? GROUP : 1;
}

/* How a task of faults.work ends, and how many of a hundred do; the others are just done. */
static const struct {
    const char *how;
    uint32_t share;
} hows[] = {
    { "fail", 3 },    { "return", 3 }, { "retry", 3 },
    { "exhaust", 1 }, { "snooze", 3 }, { "late", 1 },
};

static const char *choose_how(uint64_t dice)
{
    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
        if (dice < hows[i].share)
            return hows[i].how;
        dice -= hows[i].share;
    }
    return "done";
}

static uint32_t choose_time(uint64_t dice, uint64_t lease_ms)
{
    if (dice % 400 == 0)
        return (uint32_t)(LONG_LEASES * lease_ms);
    return (uint32_t)(dice % 40 == 0 ? lease_ms + dice / 40 % lease_ms : dice / 40 % 200);
}

static void choose_work(struct plan *plan, uint64_t seed, uint64_t number, uint64_t lease_ms)
{
    uint64_t dice = plan_dice(seed, number, DICE_TIME);
    plan->run_ms = choose_time(dice, lease_ms);
    plan->how = "done";
    if (plan->node == LOAD_SLEEP)
        plan->run_ms = 100 + (uint32_t)(dice / 40 % (dice % 8 == 0 ? 2 * lease_ms : 1000));
    if (plan->node != LOAD_WORK || plan->run_ms > lease_ms)
        return; /* long ones once */
    plan->how = choose_how(plan_dice(seed, number, DICE_HOW) % 100);
    plan->times = 1 + (uint32_t)(plan_dice(seed, number, DICE_TIMES) % 2);
    plan->after_ms = (uint32_t)(plan_dice(seed, number, DICE_AFTER) % (lease_ms / 4));
    plan->after_ms = plan->after_ms % 3 ? plan->after_ms : 0;
    if (strcmp(plan->how, "late") == 0) {
        plan->close_ms = 200 + plan->run_ms;
        plan->run_ms = (uint32_t)(2 * lease_ms);
    }
    plan->stubborn = plan_dice(seed, number, DICE_STUBBORN) % 4 == 0;
}

void plan_make(struct plan *ret_plan, const struct plan_options *options, uint64_t number)
{
    uint64_t seed = seed_of(options);
    uint64_t cancel = plan_dice(seed, number, DICE_CANCEL),
             again = plan_dice(seed, number, DICE_AGAIN);
    uint64_t delay = plan_dice(seed, number, DICE_DELAY);
    uint64_t token[2] = { plan_dice(seed, number, DICE_TOKEN),
                          plan_dice(seed, number, DICE_TOKEN2) };
    memset(ret_plan, 0, sizeof *ret_plan);
    (void)snprintf(ret_plan->id, sizeof ret_plan->id, "%s-%" PRIu64, options->name, number);
    memcpy(ret_plan->token, token, sizeof ret_plan->token);
    choose_group(ret_plan, seed, number / GROUP, options->engines);
    choose_work(ret_plan, seed, number, options->lease_ms);
    ret_plan->cancel_ms = cancel % 100 < 4 ? (int64_t)(cancel / 100 % 500) : -1;
    ret_plan->again_ms = again % 100 < 6 ? (int64_t)(again / 100 % (2 * options->lease_ms)) : -1;
    ret_plan->delay_ms = delay % 100 < 6 ? 1 + (uint32_t)(delay / 100 % options->lease_ms) : 0;
}

static void put(struct plan_input *input, const char *head, const void *data, size_t size)
{
    size_t before = strlen(head);
    memcpy(input->bytes, head, before);
    memcpy(input->bytes + before, data, size);
    input->size = before + size;
}

void plan_input_make(struct plan_input *ret_input, const struct plan *plan)
{
    char text[LOAD_TEXT];
    uint8_t number[8];
    double seconds = (double)plan->run_ms / 1000;
    uint64_t bits;
    int size = plan->node == LOAD_ECHO
                   ? snprintf(text + 1, sizeof text - 1, "%s", plan->id)
                   : snprintf(text + 1, sizeof text - 1, "%u %u %d %u %s", plan->run_ms,
                              plan->times, plan->stubborn, plan->after_ms, plan->how);
    text[0] = (char)size;
    memcpy(&bits, &seconds, sizeof bits);
    for (int i = 0; i < 8; i++)
        number[i] = (uint8_t)(bits >> (56 - 8 * i));
    if (plan->node == LOAD_SLEEP)
        put(ret_input, "\x81\xa7seconds\xcb", number, sizeof number);
    else
        put(ret_input, plan->node == LOAD_ECHO ? "\x81\xa5value\xd9" : "\x81\xa4plan\xd9", text,
            (size_t)size + 1);
}
