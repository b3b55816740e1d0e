#include "common/objects/wire.h"

#include "common/clock.h"
#include "common/objects/digest.h"
#include "common/scoped.h"
#include "common/status.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum { CONNECT_MS = 10000, UPLOAD_BUFFER = 256 << 10, READ_BUFFER = 256 << 10 };

/* ---- what libcurl asks of a try -------------------------------------------------------------- */

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_header(const char *bytes, size_t one, size_t size, void *arg)
{
    struct exchange *self = arg;
    (void)one;
    self->moved_ms = clock_ms();
    self->heard += size;
    if (self->heard > HEAD_BYTES_MAX)
        return 0;
    if (bytes[0] == '\r' || bytes[0] == '\n') {
        (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &self->http);
        self->headed = self->http >= 200; /* 1xx are no answers yet */
    }
    return size;
}

static bool room_for(struct exchange *self, size_t size)
{
    size_t room = self->body_room ? self->body_room : 4096;
    while (room < self->body_size + size)
        room *= 2;
    if (room == self->body_room)
        return true;
    char *larger = realloc(self->body, room);
    if (!larger)
        return false;
    self->body = larger;
    self->body_room = room;
    return true;
}

static int gather(struct exchange *self, const char *bytes, size_t size)
{
    const bool good = self->http >= 200 && self->http < 300;
    if (self->body_size + size > (good ? ANSWER_BYTES_MAX : REFUSAL_BYTES_MAX)) {
        self->full = !good;
        self->endless = good;
        return STATUS_MALFORMED;
    }
    if (!room_for(self, size))
        return -ENOMEM;
    memcpy(self->body + self->body_size, bytes, size);
    self->body_size += size;
    return 0;
}

static size_t on_body(const char *bytes, size_t one, size_t size, void *arg)
{
    struct exchange *self = arg;
    (void)one;
    const bool passed = self->ask.sink && (self->http == 200 || self->http == 206);
    self->cut = passed ? self->ask.sink(self->ask.arg, bytes, size) : gather(self, bytes, size);
    self->moved_ms = clock_ms();
    return self->cut ? 0 : size;
}

static int on_progress(void *arg, curl_off_t to_get, curl_off_t got, curl_off_t to_send,
                       curl_off_t sent)
{
    struct exchange *self = arg;
    (void)to_get;
    (void)got;
    (void)to_send;
    if (sent != self->sent) {
        self->sent = sent;
        self->moved_ms = clock_ms();
        self->asked_ms = self->moved_ms;
    }
    return 0;
}

/* ---- what it is ------------------------------------------------------------------------------ */

static size_t count_of(const struct sign_field *fields)
{
    size_t count = 0;
    while (count < ASK_FIELDS && fields[count].name)
        count++;
    return count;
}

static char *coded(const char *plain)
{
    const size_t size = name_encode(slice_of(plain), false, NULL, 0) + 1;
    char *text = malloc(size);
    if (text)
        (void)name_encode(slice_of(plain), false, text, size);
    return text;
}

static int add_line(struct exchange *self, const char *name, const char *value)
{
    scoped_text char *line = NULL;
    if (asprintf(&line, "%s:%s%s", name, value[0] ? " " : "", value) < 0) {
        line = NULL;
        return -ENOMEM;
    }
    struct curl_slist *longer = curl_slist_append(self->lines, line);
    if (!longer)
        return -ENOMEM;
    self->lines = longer;
    return 0;
}

static bool has_type(const struct sign_field *fields)
{
    for (size_t i = 0; i < count_of(fields); i++)
        if (strcmp(fields[i].name, "content-type") == 0)
            return true;
    return false;
}

/* Signs, and writes the header lines of it. */
static int sign_lines(struct exchange *self, const char *path, const struct sign_field *query)
{
    const struct wire *wire = self->wire;
    const struct sign_keys keys = { wire->access, wire->secret, wire->region };
    char date[SIGN_DATE];
    char authorization[SIGN_AUTHORIZATION];
    sign_date(clock_wall_ms(), date);
    struct sign_field headers[ASK_FIELDS + 3] = { { "host", wire->endpoint.host },
                                                  { "x-amz-content-sha256", self->ask.sha256 },
                                                  { "x-amz-date", date } };
    const size_t count = 3 + count_of(self->ask.headers);
    memcpy(headers + 3, self->ask.headers, (count - 3) * sizeof *headers);
    const struct sign_request request = { .method = self->ask.method,
                                          .path = path,
                                          .query = query,
                                          .query_count = count_of(query),
                                          .headers = headers,
                                          .header_count = count,
                                          .payload = self->ask.sha256 };
    int r = sign_authorization(&keys, &request, date, authorization);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = add_line(self, headers[i].name, headers[i].value);
    r = r ? r : add_line(self, "Authorization", authorization);
    if (!has_type(self->ask.headers)) /* libcurl has an idea of its own */
        r = r ? r : add_line(self, "Content-Type", "");
    return r ? r : add_line(self, "Expect", ""); /* none: the body is not worth a question */
}

static int write_url(struct exchange *self, const char *path, const struct sign_field *query)
{
    size_t size = 0;
    FILE *out = open_memstream(&self->url, &size);
    if (!out)
        return -ENOMEM;
    (void)fprintf(out, "%s%s", self->wire->endpoint.text, path);
    for (size_t i = 0; i < count_of(query); i++)
        (void)fprintf(out, "%c%s%s%s", i ? '&' : '?', query[i].name,
                      slice_is(slice_of(query[i].value), "") ? "" : "=", query[i].value);
    return fclose(out) ? -ENOMEM : 0;
}

static int describe(struct exchange *self)
{
    char path[NAME_PATH_MAX];
    char *values[ASK_FIELDS] = { NULL };
    struct sign_field query[ASK_FIELDS] = { { NULL, NULL } };
    int r = 0;
    name_path(self->ask.bucket, self->ask.key, path);
    for (size_t i = 0; i < count_of(self->ask.query); i++) {
        values[i] = coded(self->ask.query[i].value);
        r = values[i] ? r : -ENOMEM;
        query[i] = (struct sign_field){ self->ask.query[i].name, values[i] };
    }
    r = r ? r : write_url(self, path, query);
    r = r ? r : sign_lines(self, path, query);
    for (size_t i = 0; i < ASK_FIELDS; i++)
        free(values[i]);
    return r;
}

/* ---- libcurl's options ----------------------------------------------------------------------- */

#define SET(option, value) (code = code ? code : curl_easy_setopt(self->easy, option, value))

static int set_request(struct exchange *self)
{
    CURLcode code = CURLE_OK;
    const char *method = self->ask.method;
    SET(CURLOPT_URL, self->url);
    SET(CURLOPT_HTTPHEADER, self->lines);
    if (strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)self->ask.body.size);
        SET(CURLOPT_POSTFIELDS, self->ask.body.size ? self->ask.body.data : "");
        SET(CURLOPT_CUSTOMREQUEST, method);
        SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
        SET(CURLOPT_CUSTOMREQUEST, method);
    }
    return code ? -ENOMEM : 0;
}

static int set_rules(struct exchange *self)
{
    const struct wire *wire = self->wire;
    const int64_t connect = wire->timeout_ms < CONNECT_MS ? wire->timeout_ms : CONNECT_MS;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* else a name's look-up that hangs would hold up the end */
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_BUFFERSIZE, (long)READ_BUFFER);
    SET(CURLOPT_USERAGENT, "gantry/" GANTRY_VERSION);
    if (wire->ca_file)
        SET(CURLOPT_CAINFO, wire->ca_file);
    return code ? -ENOMEM : 0;
}

static int set_callbacks(struct exchange *self)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, self);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, self);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, self);
    SET(CURLOPT_ERRORBUFFER, self->why);
    SET(CURLOPT_PRIVATE, self);
    return code ? -ENOMEM : 0;
}

static void forget_try(struct exchange *self)
{
    curl_slist_free_all(self->lines);
    self->lines = NULL;
    free(self->url);
    self->url = NULL;
    self->why[0] = '\0';
    self->code[0] = '\0';
    self->http = 0;
    self->sent = 0;
    self->heard = 0;
    self->headed = false;
    self->full = false;
    self->endless = false;
    self->cut = 0;
    self->body_size = 0;
    self->moved_ms = clock_ms();
    self->asked_ms = self->moved_ms;
}

int exchange_send(struct exchange *self)
{
    if (self->wire->driving)
        return -EDEADLK;
    forget_try(self);
    curl_easy_reset(self->easy);
    int r = describe(self);
    r = r ? r : set_request(self);
    r = r ? r : set_rules(self);
    r = r ? r : set_callbacks(self);
    if (r == 0 && curl_multi_add_handle(self->wire->multi, self->easy))
        r = -ENOMEM;
    return r;
}
