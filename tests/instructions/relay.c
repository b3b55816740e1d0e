#include "tests/instructions/relay.h"

#include "tests/instructions/count.h"
#include "tests/instructions/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINKS_MAX = 8, ROOM_FIRST = 1 << 16, NUMBER_MAX = 24 };

struct bytes {
    char *data;
    size_t size, room;
};

struct link {
    int program, redis;
    struct bytes asked;    /* by the program, not carried yet */
    struct bytes answers;  /* for the program */
    struct bytes blocking; /* an XREAD that waits */
    unsigned open;         /* answers that Redis owes */
};

static int listener = -1;
static const char *redis_path;
static struct link links[LINKS_MAX];
static size_t links_count;

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path)
        count_die("%s: too long", path);
    memcpy(address.sun_path, path, strlen(path));
    return address;
}

void relay_open(const char *path, const char *redis)
{
    struct sockaddr_un address = address_of(path);
    redis_path = redis;
    (void)unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof address) ||
        listen(listener, LINKS_MAX))
        count_die("%s: %s", path, strerror(errno));
}

/* ---- bytes ---- */

static void make_room(struct bytes *self, size_t more)
{
    if (self->size + more <= self->room)
        return;
    while (self->room < self->size + more)
        self->room = self->room ? self->room * 2 : ROOM_FIRST;
    self->data = realloc(self->data, self->room);
    if (!self->data)
        count_die("out of memory");
}

static void add(struct bytes *self, const void *data, size_t size)
{
    make_room(self, size);
    memcpy(self->data + self->size, data, size);
    self->size += size;
}

static void drop_first(struct bytes *self, size_t size)
{
    self->size -= size;
    memmove(self->data, self->data + size, self->size);
}

/* Reads what there is; false: nothing. */
static bool read_more(int fd, struct bytes *into, int flags)
{
    make_room(into, ROOM_FIRST);
    ssize_t size = recv(fd, into->data + into->size, ROOM_FIRST, flags);
    if (size < 0 && errno == EAGAIN)
        return false;
    if (size <= 0)
        count_die("a connection to Redis ended");
    into->size += (size_t)size;
    return true;
}

static void write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t done = send(fd, data, size, MSG_NOSIGNAL);
        if (done <= 0)
            count_die("a connection to Redis does not take what is sent: %s", strerror(errno));
        data += done;
        size -= (size_t)done;
    }
}

/* ---- RESP ---- */

/* Size of the one whole value that data begins with; 0: it is not whole yet. */
static size_t value_size(const char *data, size_t size)
{
    size_t at = 0;
    for (long long left = 1; left; left--) {
        const char *end = at < size ? memchr(data + at, '\n', size - at) : NULL;
        if (!end)
            return 0;
        long long number = strtoll(data + at + 1, NULL, 10);
        char kind = data[at];
        at = (size_t)(end + 1 - data);
        if (kind == '*' && number > 0)
            left += number;
        else if (kind == '$' && number >= 0)
            at += (size_t)number + 2;
    }
    return at <= size ? at : 0;
}

/* An XREAD loses its BLOCK and how long. */
static bool unblock(const char *command, size_t size, struct bytes *ret_plain)
{
    static const char block[] = "$5\r\nBLOCK\r\n";
    const char *at = memmem(command, size, block, sizeof block - 1);
    char head[NUMBER_MAX];
    if (!memmem(command, size < NUMBER_MAX ? size : NUMBER_MAX, "XREAD\r\n", 7) || !at)
        return false;
    const char *first = memchr(command, '\n', size);
    const char *rest = at + sizeof block - 1;
    rest += value_size(rest, (size_t)(command + size - rest));
    int head_size = snprintf(head, sizeof head, "*%lld\r\n", strtoll(command + 1, NULL, 10) - 2);
    first++;
    ret_plain->size = 0;
    add(ret_plain, head, (size_t)head_size);
    add(ret_plain, first, (size_t)(at - first));
    add(ret_plain, rest, (size_t)(command + size - rest));
    return true;
}

/* ---- links ---- */

static int connect_redis(void)
{
    struct sockaddr_un address = address_of(redis_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address))
        count_die("%s: %s", redis_path, strerror(errno));
    return fd;
}

static void accept_links(void)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        if (links_count == LINKS_MAX)
            count_die("more than %d connections to Redis", (int)LINKS_MAX);
        links[links_count++] = (struct link){ .program = fd, .redis = connect_redis() };
    }
}

/* All whole commands, in one write. */
static bool ask(struct link *self)
{
    size_t done = 0, from = 0;
    while (read_more(self->program, &self->asked, MSG_DONTWAIT))
        ;
    for (size_t size; (size = value_size(self->asked.data + done, self->asked.size - done));) {
        if (unblock(self->asked.data + done, size, &self->blocking)) {
            if (self->open || from != done)
                count_die("an XREAD that blocks is not alone on its connection");
            from = done + size;
        } else {
            self->open++;
        }
        done += size;
    }
    if (done == 0)
        return false;
    write_all(self->redis, self->asked.data + from, done - from);
    drop_first(&self->asked, done);
    return true;
}

/* Waits for the next whole answer. */
static size_t next_answer(struct link *self, size_t at)
{
    size_t size;
    while (!(size = value_size(self->answers.data + at, self->answers.size - at)))
        (void)read_more(self->redis, &self->answers, 0);
    return size;
}

static bool give(struct link *self)
{
    size_t at = 0;
    while (self->open) {
        at += next_answer(self, at);
        self->open--;
    }
    write_all(self->program, self->answers.data, at);
    drop_first(&self->answers, at);
    return at != 0;
}

static bool try_blocking(struct link *self)
{
    if (!self->blocking.size)
        return false;
    write_all(self->redis, self->blocking.data, self->blocking.size);
    size_t size = next_answer(self, 0);
    bool nothing = memcmp(self->answers.data, "*-1", 3) == 0;
    if (!nothing) {
        write_all(self->program, self->answers.data, size);
        self->blocking.size = 0;
    }
    drop_first(&self->answers, size);
    return !nothing;
}

bool relay_carry(void)
{
    bool any = false, calls = false;
    accept_links();
    for (size_t i = 0; i < links_count; i++)
        any |= ask(&links[i]);
    for (size_t i = 0; i < links_count; i++)
        calls |= give(&links[i]);
    any |= calls;
    for (size_t i = 0; i < links_count; i++)
        if (any)
            any |= try_blocking(&links[i]);
    return any;
}

void relay_mark(const char *what)
{
    static struct link own = { .redis = -1 };
    char command[128];
    if (own.redis < 0)
        own.redis = connect_redis();
    int size = snprintf(command, sizeof command, "*2\r\n$4\r\nECHO\r\n$%zu\r\n" MARK "%s\r\n",
                        strlen(MARK) + strlen(what), what);
    write_all(own.redis, command, (size_t)size);
    drop_first(&own.answers, next_answer(&own, 0));
}
