#include "tests/sim/net.h"

#include "proto/envelope.h"
#include "proto/message.h"
#include "tests/sim/trap.h"

#include <assert.h>
#include <stdlib.h>

enum { RECONNECT_US = 100000, RECONNECT_MOST_US = 2000000, CUT_BREAKS_US = 3000000 };

/* One direction of a connection. */
struct pipe {
    struct packet *first, **end;
    unsigned count;
    int64_t last_us; /* nothing sent later arrives before it */
    bool open;       /* as the sender sees it */
};

struct link {
    struct sock *dealer, *router; /* NULL: gone */
    uint32_t serial;
    bool broken;
    int64_t still_until_us;
    struct pipe pipes[DIRECTIONS];
    struct asked asked;
    struct link *next;
};

struct net_rules net_rules;

static struct link *links; /* newest first */
static struct sock *socks;
static struct packet *spare;
static uint32_t links_made;
static int64_t cut_until_us[PROCS_MAX];

/* ---- packets ---- */

struct packet *packet_new(void)
{
    struct packet *self = spare;
    if (self)
        spare = self->next;
    else
        self = malloc(sizeof *self);
    assert(self);
    self->next = NULL;
    self->end = false;
    self->frames = 0;
    self->link = NULL;
    return self;
}

void packet_free(struct packet *packet)
{
    for (int i = 0; i < packet->frames; i++)
        zmq_msg_close(&packet->frame[i]);
    packet->next = spare;
    spare = packet;
}

static void free_all(struct packet **list)
{
    while (*list) {
        struct packet *packet = *list;
        *list = packet->next;
        packet_free(packet);
    }
}

/* ---- connections ---- */

static bool reachable(const struct proc *proc)
{
    return proc->up && !proc_paused(proc) && cut_until_us[proc - world.procs] <= world.now_us;
}

static struct sock *bound(const char *endpoint)
{
    for (struct sock *s = socks; s; s = s->next)
        if (s->type == ZMQ_ROUTER && !s->closed && strcmp(s->endpoint, endpoint) == 0)
            return s;
    return NULL;
}

static void make_link(struct sock *dealer, struct sock *router)
{
    struct link *link = calloc(1, sizeof *link);
    assert(link);
    link->dealer = dealer;
    link->router = router;
    link->serial = ++links_made;
    for (int i = 0; i < DIRECTIONS; i++) {
        link->pipes[i].open = true;
        link->pipes[i].end = &link->pipes[i].first;
    }
    link->next = links;
    links = link;
    dealer->link = link;
    dealer->attempts = 0;
}

static void on_connect(void *arg, uint64_t tag)
{
    struct sock *self = arg;
    (void)tag;
    if (self->closed || self->link)
        return;
    struct sock *router = bound(self->endpoint);
    if (router && reachable(router->proc) && reachable(self->proc)) {
        make_link(self, router);
        return;
    }
    int64_t rest = RECONNECT_US << (self->attempts < 5 ? self->attempts : 5);
    self->attempts++;
    plan(world.now_us + (rest < RECONNECT_MOST_US ? rest : RECONNECT_MOST_US), on_connect, self, 0);
}

static int64_t delay(void)
{
    int64_t us = roll_between(net_rules.delay_least_us, net_rules.delay_most_us);
    if (net_rules.slow_percent && chance(net_rules.slow_percent))
        us += roll(net_rules.slow_us + 1);
    return us;
}

void sock_connect(struct sock *self)
{
    plan(world.now_us + 3 * delay(), on_connect, self, 0);
}

struct sock *sock_new(int type)
{
    struct sock *self = calloc(1, sizeof *self);
    assert(self && world.current);
    self->type = type;
    self->proc = world.current;
    self->life = world.current->life;
    self->inbox_end = &self->inbox;
    self->next = socks;
    socks = self;
    return self;
}

/* ---- delivery ---- */

static struct sock *target(const struct link *link, int direction)
{
    return direction == TO_ROUTER ? link->router : link->dealer;
}

static void see_end(struct link *link, int direction, struct sock *to)
{
    link->pipes[1 - direction].open = false;
    if (direction == TO_DEALER && to->link == link) {
        to->link = NULL;
        plan(world.now_us + RECONNECT_US, on_connect, to, 0);
    }
    if (to->proc->role == ROLE_STATE) /* the others look when they have something to do */
        proc_wake(to->proc, world.now_us);
}

static void on_arrival(void *arg, uint64_t direction)
{
    struct link *link = arg;
    struct pipe *pipe = &link->pipes[direction];
    struct packet *packet = pipe->first;
    struct sock *to = target(link, (int)direction);
    if (!packet)
        return;
    if (link->still_until_us > world.now_us) {
        plan(link->still_until_us, on_arrival, link, direction);
        return;
    }
    pipe->first = packet->next;
    if (!pipe->first)
        pipe->end = &pipe->first;
    pipe->count--;
    if (!to || packet->end) {
        if (to)
            see_end(link, (int)direction, to);
        packet_free(packet);
        return;
    }
    packet->next = NULL;
    *to->inbox_end = packet;
    to->inbox_end = &packet->next;
    proc_wake(to->proc, world.now_us);
}

static void post(struct link *link, int direction, struct packet *packet, int64_t late_us)
{
    struct pipe *pipe = &link->pipes[direction];
    int64_t when = world.now_us + delay() + late_us;
    packet->link = link;
    packet->next = NULL;
    *pipe->end = packet;
    pipe->end = &packet->next;
    pipe->count++;
    pipe->last_us = when > pipe->last_us ? when : pipe->last_us;
    plan(pipe->last_us, on_arrival, link, (uint64_t)direction);
}

/* Nothing of it arrives from the place-th message on; then the other side learns that it is over.
 */
static void cut_pipe(struct link *link, int direction, unsigned place)
{
    struct pipe *pipe = &link->pipes[direction];
    struct packet **at = &pipe->first;
    while (*at && place--)
        at = &(*at)->next;
    for (struct packet *p = *at; p; p = p->next)
        pipe->count--;
    pipe->end = at;
    free_all(at);
    if (!target(link, direction))
        return;
    struct packet *end = packet_new();
    end->end = true;
    post(link, direction, end, 0);
}

static void break_link(struct link *link)
{
    if (link->broken)
        return;
    link->broken = true;
    for (int i = 0; i < DIRECTIONS; i++)
        cut_pipe(link, i, (unsigned)roll(link->pipes[i].count + 1));
}

static void on_break(void *arg, uint64_t tag)
{
    (void)tag;
    break_link(arg);
}

bool link_open(const struct link *link, int direction)
{
    return link && link->pipes[direction].open;
}

bool link_full(const struct link *link, int direction)
{
    return net_rules.pipe_max && link->pipes[direction].count >= net_rules.pipe_max;
}

void link_id(const struct link *link, uint8_t id[LINK_ID_SIZE])
{
    id[0] = 0;
    memcpy(id + 1, &link->serial, sizeof link->serial);
}

struct link *link_by_id(const struct sock *router, const void *id, size_t size)
{
    uint8_t own[LINK_ID_SIZE];
    for (struct link *link = links; link; link = link->next) {
        link_id(link, own);
        if (link->router == router && size == sizeof own && memcmp(own, id, size) == 0)
            return link_open(link, TO_DEALER) ? link : NULL;
    }
    return NULL;
}

static void on_crash(void *arg, uint64_t life)
{
    struct proc *proc = arg;
    if (proc->life == life)
        proc_crash(proc);
}

static void crash_soon(const struct sock *sock)
{
    if (sock)
        plan(world.now_us, on_crash, sock->proc, sock->proc->life);
}

/* All that was sent before still arrives. */
static void end_link(struct link *link)
{
    link->broken = true;
    for (int i = 0; i < DIRECTIONS; i++)
        cut_pipe(link, i, link->pipes[i].count);
}

/* What the trap does beside the message. */
static void spring(enum trap_act act, struct sock *from, struct sock *to)
{
    if (act == TRAP_CRASH_SENDER || act == TRAP_SENT_CRASH)
        crash_soon(from);
    if (act == TRAP_CRASH_TARGET)
        crash_soon(to);
}

void link_send(struct link *link, int direction, struct packet *packet)
{
    static const bool loses[TRAP_ACTS] = {
        [TRAP_LOSE] = true, [TRAP_CRASH_SENDER] = true, [TRAP_CRASH_TARGET] = true
    };
    struct sock *from = target(link, 1 - direction);
    struct sock *to = link->broken ? NULL : target(link, direction);
    const struct trap *trap = trap_look(&link->asked, from, to, packet);
    world.messages++;
    if (trap)
        spring(trap->act, from, to);
    if (!to || (trap && loses[trap->act]))
        packet_free(packet);
    else
        post(link, direction, packet, trap && trap->act == TRAP_HOLD ? trap->hold_us : 0);
    if (trap && (trap->act == TRAP_BREAK || loses[trap->act]))
        end_link(link);
}

/* ---- ends ---- */

/* sent: how much of what it sent goes its way. */
static void leave_link(struct link *link, const struct sock *sock, bool crashed)
{
    int own = link->router == sock ? TO_DEALER : TO_ROUTER;
    struct pipe *out = &link->pipes[own];
    bool lingers = !crashed && sock->linger_ms > 0;
    bool was_broken = link->broken;
    link->broken = true;
    if (own == TO_ROUTER)
        link->dealer = NULL;
    else
        link->router = NULL;
    free_all(&link->pipes[1 - own].first);
    link->pipes[1 - own].end = &link->pipes[1 - own].first;
    link->pipes[1 - own].count = 0;
    if (!was_broken)
        cut_pipe(link, own, lingers ? out->count : (unsigned)roll(out->count + 1));
}

static void end_sock(struct sock *self, bool crashed)
{
    if (self->closed)
        return;
    self->closed = true;
    for (struct link *link = links; link; link = link->next)
        if (link->dealer == self || link->router == self)
            leave_link(link, self, crashed);
    self->link = NULL;
    free_all(&self->inbox);
    self->inbox_end = &self->inbox;
    if (self->writing)
        packet_free(self->writing);
    self->writing = NULL;
}

void sock_close(struct sock *self)
{
    end_sock(self, false);
}

void net_crash(struct proc *proc)
{
    for (struct sock *s = socks; s; s = s->next)
        if (s->proc == proc)
            end_sock(s, true);
}

bool sock_readable(const struct sock *self)
{
    return self->inbox;
}

static bool between(const struct link *link, const struct proc *a, const struct proc *b)
{
    if (link->broken || !link->dealer || !link->router)
        return false;
    const struct proc *one = link->dealer->proc, *other = link->router->proc;
    return !a || (one == a && other == b) || (one == b && other == a);
}

static struct link *pick(const struct proc *a, const struct proc *b)
{
    int64_t count = 0;
    for (struct link *link = links; link; link = link->next)
        count += between(link, a, b);
    int64_t nth = count ? roll(count) : 0;
    for (struct link *link = links; link; link = link->next)
        if (between(link, a, b) && nth-- == 0)
            return link;
    return NULL;
}

bool net_break(const struct proc *a, const struct proc *b)
{
    struct link *link = pick(a, b);
    if (!link)
        return false;
    note("connection breaks", link->dealer->proc, link->router->proc->number, 0);
    break_link(link);
    return true;
}

static void hold_still(struct link *link, int64_t until_us, bool then_break)
{
    if (until_us > link->still_until_us)
        link->still_until_us = until_us;
    if (then_break)
        plan(until_us - 1, on_break, link, 0);
}

bool net_stall(int64_t for_us, bool then_break)
{
    struct link *link = pick(NULL, NULL);
    if (!link)
        return false;
    note("connection stands still", link->dealer->proc, link->router->proc->number, for_us / 1000);
    hold_still(link, world.now_us + for_us, then_break);
    return true;
}

void net_cut(struct proc *proc, int64_t for_us)
{
    bool then_break = for_us > CUT_BREAKS_US || chance(50);
    note("is cut off", proc, for_us / 1000, then_break);
    cut_until_us[proc - world.procs] = world.now_us + for_us;
    for (struct link *link = links; link; link = link->next)
        if ((link->dealer && link->dealer->proc == proc) ||
            (link->router && link->router->proc == proc))
            hold_still(link, world.now_us + for_us, then_break);
}

void net_end(void)
{
    while (links) {
        struct link *link = links;
        links = link->next;
        for (int i = 0; i < DIRECTIONS; i++)
            free_all(&link->pipes[i].first);
        free(link);
    }
    while (socks) {
        struct sock *sock = socks;
        socks = sock->next;
        free(sock);
    }
    links_made = 0;
    memset(cut_until_us, 0, sizeof cut_until_us);
    trap_clear();
}
