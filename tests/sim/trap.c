#include "tests/sim/trap.h"

#include "proto/envelope.h"
#include "proto/message.h"

static struct trap traps[TRAPS_MAX];
static unsigned traps_count;

const struct trap *net_trap(const struct trap *trap)
{
    if (traps_count == TRAPS_MAX)
        return NULL;
    traps[traps_count] = *trap;
    return &traps[traps_count++];
}

void trap_clear(void)
{
    traps_count = 0;
}

static uint64_t take_whole(const uint8_t **at)
{
    static const unsigned sizes[] = { 1, 2, 4, 8 };
    uint8_t first = *(*at)++;
    uint64_t whole = 0;
    if (first < 0x80)
        return first;
    for (unsigned i = 0; i < sizes[first & 3]; i++)
        whole = whole << 8 | *(*at)++;
    return whole;
}

/* All but the texts: every message passes here, and our own sides wrote it. */
static void read_header(struct header *ret_header, zmq_msg_t *frame)
{
    const uint8_t *at = zmq_msg_data(frame);
    at++;
    (void)take_whole(&at);
    ret_header->verb = (uint32_t)take_whole(&at);
    ret_header->request = take_whole(&at);
    ret_header->epoch = (uint32_t)take_whole(&at);
    ret_header->status = (uint32_t)take_whole(&at);
    at += 1 + (*at & 0x1f); /* a queue's name of less than 32 bytes */
    ret_header->priority = (uint32_t)take_whole(&at);
    ret_header->count = (uint32_t)take_whole(&at);
}

static uint32_t verb_asked(struct asked *asked, const struct header *header)
{
    if (header->verb != VERB_ANSWER) {
        asked->request[asked->next % ASKED] = header->request;
        asked->verb[asked->next++ % ASKED] = (uint8_t)header->verb;
        return header->verb;
    }
    unsigned kept = asked->next < ASKED ? asked->next : ASKED;
    for (unsigned i = 1; i <= kept; i++)
        if (asked->request[(asked->next - i) % ASKED] == header->request)
            return asked->verb[(asked->next - i) % ASKED];
    return 0;
}

static bool springs(struct trap *trap, const struct header *header, uint32_t verb,
                    const struct sock *from, const struct sock *to)
{
    if (trap->sprung || trap->verb != verb || trap->answer != (header->verb == VERB_ANSWER) ||
        trap->from != from->proc->role || trap->to != to->proc->role)
        return false;
    if (trap->with_items && (header->status || !header->count))
        return false;
    if (trap->skip) {
        trap->skip--;
        return false;
    }
    return trap->sprung = true;
}

static const struct trap *find(const struct header *header, uint32_t verb, const struct sock *from,
                               const struct sock *to)
{
    for (unsigned i = 0; i < traps_count; i++)
        if (springs(&traps[i], header, verb, from, to))
            return &traps[i];
    return NULL;
}

const struct trap *trap_look(struct asked *asked, const struct sock *from, const struct sock *to,
                             struct packet *packet)
{
    static const char *const fates[TRAP_ACTS] = {
        "(trap: lost, and the connection)",   "(trap: then the connection breaks)",
        "(trap: lost, its sender crashes)",   "(trap: its sender crashes)",
        "(trap: lost, its receiver crashes)", "(trap: held back)",
    };
    struct header header = { 0 };
    if (!from)
        return NULL;
    read_header(&header, &packet->frame[0]);
    uint32_t verb = verb_asked(asked, &header);
    const struct trap *trap = to ? find(&header, verb, from, to) : NULL;
    note_sent(&(struct note_message){
        .from = from->proc,
        .to = to ? to->proc : NULL,
        .verb = verb_text(header.verb),
        .answers = header.verb == VERB_ANSWER ? verb_text(verb) : NULL,
        .request = header.request,
        .status = header.status,
        .count = header.count,
        .fate = trap ? fates[trap->act]
                : to ? ""
                     : "(into nowhere)",
    });
    return trap;
}
